"""proof.py: few-label tables on a card, losing rows and all."""

import json

import pytest

from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.proof import eval_results, proofs_of, verdict


def row(name, method, *means):
    return {"name": name, "method": method, "mean": dict(zip(("5", "50"), means, strict=True))}


def test_the_verdict_is_on_a_row_that_the_test_did_not_choose():
    rows = [
        row("TF-IDF", "logistic regression", 0.5, 0.8),
        row("pretrained", "linear probe", 0.9, 0.9),
        row("pretrained + TF-IDF", "logistic regression", 0.95, 0.95),
        row("pretrained", "auto", 0.6, 0.7),
        row("from scratch", "fine-tuned", 0.7, 0.75),
    ]
    text = verdict({"rows": rows})
    assert "this model (auto) is right in 60.0 / 70.0 %" in text
    assert "TF-IDF (logistic regression) in 50.0 / 80.0 %" in text and "from scratch in 70.0 / 75.0 %" in text
    assert (
        "**With 50 it is behind TF-IDF.**" in text and "**With 5 and 50 it is behind training from scratch.**" in text
    )
    assert "95.0" not in text
    assert "no row of this model" in verdict({"rows": rows[:1]})


@pytest.fixture
def table():
    rows = tuple(
        FewLabelRow(name, method, {5: (low, low + 0.1), 50: (high, high)})
        for name, method, low, high in (
            ("TF-IDF", "logistic regression", 0.4, 0.7),
            ("pretrained", "linear probe", 0.5, 0.8),
            ("from scratch", "fine-tuned", 0.2, 0.5),
        )
    )
    return FewLabelTable(
        rows=rows, seeds=(0, 1), num_classes=2, chance=0.5, num_test=100, task="builtin:docstrings", rare_classes={}
    )


def test_tables_come_as_they_were_rendered(table, tmp_path):
    table.save(tmp_path / "few_label.json")
    (plain,) = proofs_of(tmp_path)
    assert plain.title == "docstrings (built in)" and "| pretrained | linear probe | 55.0 ± 7.1 |" in plain.table
    (tmp_path / "few_label.md").write_text(table.to_markdown())
    (tmp_path / "few_label.png").write_bytes(b"")
    (tmp_path / "few_label_left_out.json").write_text((tmp_path / "few_label.json").read_text())
    rendered, left_out = proofs_of(tmp_path)
    assert rendered.table.startswith("| | method | 5 labels a class |") and rendered.picture == "few_label.png"
    assert "left out" in left_out.title and left_out.picture is None


def test_the_hub_s_own_table_has_the_judged_row(table, tmp_path):
    table.save(tmp_path / "few_label.json")
    results = eval_results(tmp_path, "text-classification")
    assert [(one.metric_name, one.metric_value) for one in results] == [
        ("Accuracy with 5 labels a class (linear probe)", 0.55),
        ("Accuracy with 50 labels a class (linear probe)", 0.8),
    ]
    assert eval_results(tmp_path / "nowhere", "text-classification") == []


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"rows": None})])
def test_a_damaged_table_is_named(tmp_path, content):
    (tmp_path / "few_label.json").write_text(content)
    with pytest.raises(ValueError, match=r"few_label\.json is no few-label table"):
        proofs_of(tmp_path)
