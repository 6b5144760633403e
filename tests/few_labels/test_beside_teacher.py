"""A student beside its teacher: the table, the costs, and what is saved of both."""

import json

import pytest

from hf_unlab.few_labels.beside_teacher import beside_teacher
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_texts, tiny_tokenizer


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("raw", 0), ("train", 5), ("test", 6)):
        rows = [
            {"text": f"{'old' if i % 2 else 'new'} {text}", "label": i % 2}
            for i, text in enumerate(tiny_texts(40, seed=seed))
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for part in (tiny_bert(), tiny_tokenizer()):
        part.save_pretrained(tmp_path / "teacher")
    tiny_static_model().save_pretrained(tmp_path / "student")
    return tmp_path


def test_both_are_probed_on_the_same_labels_and_their_costs_are_told(folder):
    settings = TextFewLabelSettings(
        labelled_dataset="json",
        labelled_train_files=[str(folder / "train.jsonl")],
        labelled_test_files=[str(folder / "test.jsonl")],
        num_labels_per_class=[2, 4],
        few_label_seeds=[0, 1],
    )
    raw = [Source(str(folder / "raw.jsonl"))]
    found = beside_teacher(folder / "student", folder / "teacher", get_modality("text"), settings, raw)
    assert [row.name for row in found.table.rows] == ["TF-IDF", "teacher", "student"]
    assert found.table.num_labels_per_class == (2, 4)
    encoders = (get_modality("text").load_encoder(folder / name) for name in ("teacher", "student"))
    expected = [sum(parameter.numel() for parameter in one.model.parameters()) for one in encoders]
    assert [cost.num_parameters for cost in found.costs.values()] == expected
    assert all(cost.examples_per_second > 0 for cost in found.costs.values())
    lines = found.render().splitlines()
    assert max(map(len, lines)) <= 80 and lines[-2].startswith("teacher") and lines[-1].startswith("student")
    content = json.loads(found.save(folder).read_text())
    assert content["costs"].keys() == {"teacher", "student"}
    assert FewLabelTable.from_json(json.dumps(content["few_label"])) == found.table


def test_without_labels_there_is_nothing_to_show(folder):
    raw = [Source(str(folder / "raw.jsonl"))]
    args = folder / "student", folder / "teacher", get_modality("text"), TextFewLabelSettings(), raw
    assert beside_teacher(*args) is None
