"""evaluated.py: an evaluation on a card, worst slices first."""

import json

import pytest

from hf_unlab.hub.card import CardSettings, make_card
from hf_unlab.hub.contents import contents_of
from hf_unlab.hub.evaluated import MAX_SLICES, evaluation_of
from hf_unlab.testing import tiny_static_model


def groups(number):
    return [
        {"name": f"g|{i}", "num_examples": 10 + i, "accuracy": i / 20, "low": 0.0, "high": 0.5} for i in range(number)
    ]


@pytest.fixture
def folder(tmp_path):
    tiny_static_model().save_pretrained(tmp_path)
    (tmp_path / "evaluation").mkdir()
    model = {
        "with_labels": {"probe_accuracy": 0.75, "silhouette": None},
        "without_labels": {"effective_rank": 12.5},
        "probe_accuracy_interval": [0.7, 0.8],
        "num_test": 1234,
        "slices": {"groups": groups(15)[::-1]},
        "robustness": {"typos": {"probe_accuracy": 0.5, "drop": 0.25}},
        "notes": ["A half is tested on."],
    }
    (tmp_path / "evaluation" / "results.json").write_text(json.dumps({"models": [model]}))
    for name in ("out.slices.png", "out.confusion.png", "cat.png", "out.train.parquet"):
        (tmp_path / "evaluation" / name).write_bytes(b"")
    return tmp_path


def test_it_is_told_and_published(folder):
    found = evaluation_of(folder)
    assert found.measures == {
        "probe accuracy": "0.750 (0.700 to 0.800, 1,234 test examples)",
        "effective rank": "12.500",
    }
    assert found.slices[0][0] == "g|0" and len(found.slices) == MAX_SLICES and found.num_more == 3
    contents = contents_of(folder)
    assert "evaluation/out.slices.png" in contents.published and "evaluation/results.json" in contents.published
    assert {"evaluation/cat.png", "evaluation/out.train.parquet"} <= contents.left_out.keys()
    card = make_card(folder, contents, "me/x", CardSettings("mit"))
    for said in (
        "## Evaluation",
        "| g\\|0 | 10 | 0.0 | 0.0 to 50.0 |",
        "And 3 more, all above these.",
        "| typos | probe accuracy 0.500, drop 0.250 |",
        "A half is tested on.",
        "![Accuracy by slice](evaluation/out.slices.png)",
    ):
        assert said in card, said


def test_there_may_be_none_or_only_measures_without_labels(folder, tmp_path_factory):
    assert evaluation_of(tmp_path_factory.mktemp("none")) is None
    path = folder / "evaluation" / "results.json"
    path.write_text(json.dumps({"models": [{"with_labels": {}, "without_labels": {"rank": 1.0}, "notes": []}]}))
    found = evaluation_of(folder)
    assert found.measures == {"rank": "1.000"} and found.slices == () and found.drops is None


@pytest.mark.parametrize("text", ["{", "[]", '{"models": []}', '{"models": [{"with_labels": 1}]}'])
def test_a_damaged_file_is_named(folder, text):
    (folder / "evaluation" / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"results\.json is no evaluation"):
        evaluation_of(folder)
