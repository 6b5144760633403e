"""The three ways in which a table is written down."""

import json
from dataclasses import replace

import numpy as np
import pytest

from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.table import FewLabelTable


def example_table(name: str = "pretrained", counts: tuple[int, ...] = (5, 10, 50)) -> FewLabelTable:
    rng = np.random.default_rng(0)
    rows = tuple(
        FewLabelRow(row_name, method, {n: tuple(rng.uniform(size=3).tolist()) for n in counts})
        for row_name, method in ((name, "linear probe"), (name, "fine-tuned"), ("TF-IDF", "logistic regression"))
    )
    left_out = ("7 test examples occur in the pretraining data and are left out.",)
    return FewLabelTable(rows, (0, 1, 2), num_classes=4, chance=0.25, num_test=1234, overlaps=left_out, task="toy")


def test_json_round_trip(tmp_path) -> None:
    table = example_table()
    assert FewLabelTable.from_json(table.to_json()) == table
    table.save(tmp_path / "new" / "few_label.json")
    assert FewLabelTable.from_json((tmp_path / "new" / "few_label.json").read_text(encoding="utf-8")) == table
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["few_label.json"]
    content = json.loads(table.to_json())
    assert content["rows"][0]["mean"]["5"] == pytest.approx(table.rows[0].mean(5))
    assert (content["overlaps"], content["chance"], content["seeds"]) == (list(table.overlaps), 0.25, [0, 1, 2])


def test_from_json_refuses_other_content() -> None:
    with pytest.raises(ValueError, match="format_version is None"):
        FewLabelTable.from_json("{}")
    broken = json.loads(example_table().to_json())
    del broken["seeds"]
    with pytest.raises(ValueError, match="lacks the key 'seeds'"):
        FewLabelTable.from_json(json.dumps(broken))


def test_failed_save_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "few_label.json"
    example_table().save(path)
    before = path.read_bytes()
    bad = FewLabelTable((FewLabelRow("nan", "x", {5: (float("nan"),)}),), (0,), 2, 0.5, 10)
    with pytest.raises(ValueError):
        bad.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("width", [50, 80, 100])
@pytest.mark.parametrize("counts", [(5,), (5, 10, 50), (1, 2, 5, 10, 20, 50, 100)])
def test_render_fits_and_shows_every_number(width: int, counts: tuple[int, ...]) -> None:
    table = example_table("a model with quite a long name that says where it comes from", counts)
    text = table.render(width)
    assert max(map(len, text.splitlines())) <= width
    for row in table.rows:
        for n in counts:
            assert f"{100 * row.mean(n):.1f} ± {100 * row.std(n):.1f}" in text
    assert text.count("*") == len(counts) + 1  # one best a column, and the note
    assert "left out" in text


def test_best_is_marked_and_ties_are_shared() -> None:
    values = {"a": 0.80001, "b": 0.80002, "c": 0.7}
    rows = tuple(FewLabelRow(name, "x", {5: (value, value)}) for name, value in values.items())
    table = FewLabelTable(rows, (0, 1), 2, 0.5, 100)
    assert [table.is_best(row, 5) for row in rows] == [True, True, False]
    assert table.to_markdown().count("**80.0 ± 0.0**") == 2
    with pytest.raises(ValueError, match="at least 50"):
        table.render(20)


def test_rare_classes_are_in_all_three() -> None:
    table = replace(example_table(), rare_classes={"zebra": 12, "okapi": 3})
    note = "2 classes have fewer than 50 labels, and all of them were taken: okapi (3), zebra (12)."
    assert note in " ".join(table.render().split()) and note in table.to_markdown()
    assert json.loads(table.to_json())["rare_classes"] == {"zebra": 12, "okapi": 3}
    assert FewLabelTable.from_json(table.to_json()) == table
    assert "fewer than" not in example_table().render() + example_table().to_markdown()


def test_tables_of_the_first_format_are_read() -> None:
    content = json.loads(example_table().to_json())
    content |= {"format_version": 1, "num_overlapping": 1234}
    for name in ("overlaps", "limits"):
        del content[name]
    for row in content["rows"]:
        for name in ("others", "intervals", "behind"):
            del row[name]
    table = FewLabelTable.from_json(json.dumps(content))
    assert table.overlaps == ("1,234 test examples were pretrained on and left out.",)
    assert table.rows[0].behind == {} and "left out" in table.render()


def test_what_is_not_clearly_behind_shares_the_star() -> None:
    rows = tuple(
        FewLabelRow(name, "x", {5: (value,)}, behind={5: behind})
        for name, value, behind in (
            ("best", 0.8, (0.0, 0.0, 0.0)),
            ("level", 0.7, (-0.01, 0.1, 0.2)),
            ("worse", 0.75, (0.01, 0.05, 0.1)),
        )
    )
    table = FewLabelTable(rows, (0,), 2, 0.5, 100)
    assert [table.is_best(row, 5) for row in rows] == [True, True, False]
    assert "not behind it beyond chance" in " ".join(table.render().split())


def test_unlike_classes_show_what_does_not_favour_large_ones(capsys) -> None:
    others = {"balanced_accuracy": {5: (0.5,)}, "macro_f1": {5: (0.4,)}}
    table = FewLabelTable((FewLabelRow("always", "one", {5: (0.94,)}, others),), (0,), 2, 0.94, 1000)
    text = table.render()
    assert "always the commonest class 94.0" in " ".join(text.split()) and "*94.0" in text
    assert "Balanced accuracy in %, chance 50.0" in text and "*50.0" in text
    assert "Macro F1 in %, chance 50.0" in text and "*40.0" in text
    assert table.to_markdown().count("| always | one |") == 3
    assert max(map(len, text.splitlines())) <= 80
    assert FewLabelTable.from_json(table.to_json()) == table
    balanced = replace(table, chance=0.5)
    assert "alanced" not in balanced.render() and "chance 50.0" in balanced.render()
    before = json.loads(example_table().to_json())
    del before["rare_classes"]  # as older versions wrote it
    assert FewLabelTable.from_json(json.dumps(before)) == example_table()
    assert max(map(len, table.render(50).splitlines())) <= 50


def test_the_label_budget_is_in_all_three_and_follows_from_the_rows() -> None:
    rows = tuple(
        FewLabelRow(name, method, {n: (low, low + 0.02), 10: (low + 0.1,) * 2, 50: (low + 0.2,) * 2})
        for n, name, method, low in ((5, "pretrained", "linear probe", 0.6), (5, "from scratch", "fine-tuned", 0.5))
    )
    table = FewLabelTable(rows, (0, 1), 4, 0.25, 1000)
    for said in (" ".join(table.render().split()), table.to_markdown()):
        assert "as good as pretrained with 5 a class: from scratch x 2.3 (1.9 to 2.9)." in said
        assert "Labels a class for an accuracy of 90%, pretrained: not within reach (the curve flattens at" in said
    assert max(map(len, table.render().splitlines())) <= 80
    content = json.loads(table.to_json())
    assert len(content["efficiency"]) == 3 and len(content["labels_needed"]) == 2
    assert FewLabelTable.from_json(table.to_json()) == table
    for name in ("efficiency", "labels_needed"):
        del content[name]
    assert FewLabelTable.from_json(json.dumps({**content, "format_version": 2})) == table
    with pytest.raises(ValueError, match="reads 1 to 3"):
        FewLabelTable.from_json(json.dumps({**content, "format_version": 4}))
