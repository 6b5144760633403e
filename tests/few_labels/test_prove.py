"""One way from a checkpoint to its table, for each modality."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining

from hf_unlab.few_labels import methods
from hf_unlab.few_labels import prove as prove_module
from hf_unlab.few_labels.auto import AUTO, AUTO_TWICE
from hf_unlab.few_labels.labelled_features import FEATURES_NAME, kept_features
from hf_unlab.few_labels.prove import CELLS_NAME, prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings
from hf_unlab.modalities.checkpoint_files import checkpoint_hash
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_clips, tiny_dual_encoder, tiny_pairs, tiny_wav2vec2
from tests.modalities.text.test_encoder import save_bert

SMALL = {"num_labels_per_class": [1, 2], "few_label_seeds": [0, 1], "finetune_steps": 1}
METHODS = ["logistic regression", "linear probe", "linear probe", AUTO, AUTO_TWICE, "fine-tuned", "fine-tuned"]
NAMES = ["random weights", "pretrained", "pretrained", "pretrained", "from scratch", "pretrained"]


def files(folder, rows, num_train, **settings):
    """Rows as training and test files, and the settings that name them."""
    for name, part in (("train", rows[:num_train]), ("test", rows[num_train:])):
        Dataset.from_list(part).to_parquet(folder / f"{name}.parquet")
    paths = {f"labelled_{name}_files": [str(folder / f"{name}.parquet")] for name in ("train", "test")}
    return {"labelled_dataset": "parquet", **paths, **SMALL, **settings}


def raw(folder, rows) -> list[Source]:
    Dataset.from_list(rows).to_parquet(folder / "raw.parquet")
    return [Source("parquet", data_files=str(folder / "raw.parquet"))]


@pytest.fixture
def text(tmp_path):
    """A checkpoint, labelled texts of which one was pretrained on, and the raw data."""
    save_bert(tmp_path / "checkpoint")
    rows = [{"body": f"w{i % 2} w{2 + i} w{3 + i // 2}", "kind": ["no", "yes"][i % 2]} for i in range(30)]
    names = {"labelled_text_column": "body", "label_column": "kind"}
    settings = TextFewLabelSettings(**files(tmp_path, rows, 20, **names))
    return tmp_path / "checkpoint", settings, raw(tmp_path, [{"text": rows[-1]["body"]}, {"text": "w1"}])


def test_text(text) -> None:
    told = []
    (table,) = prove(text[0], get_modality("text"), *text[1:], lambda *step: told.append(step))
    assert [row.name for row in table.rows] == ["TF-IDF", *NAMES[:2], "pretrained + TF-IDF", *NAMES[2:]]
    assert [row.method for row in table.rows] == [*METHODS[:3], "logistic regression", *METHODS[3:]]
    assert (table.num_test, table.num_classes) == (9, 2)
    assert table.overlaps == ("1 test example occurs in the pretraining data and is left out.",)
    assert [step[1:] for step in told] == [(done, 32) for done in range(32)]
    assert table.rows[0].mean(2) > 0.5  # a word tells


@pytest.mark.parametrize(
    "wanted, methods",
    [
        (["finetuned", "cheap"], ["logistic regression", "fine-tuned"]),  # in the table's order
        (["auto"], [AUTO]),
        (["unlabelled"], [AUTO_TWICE]),
        (["auto", "unlabelled", "random"], ["linear probe", AUTO, AUTO_TWICE]),
    ],
)
def test_rows_may_be_chosen(text, wanted, methods) -> None:
    checkpoint, settings, training = text
    (table,) = prove(checkpoint, get_modality("text"), replace(settings, few_label_rows=wanted), training)
    assert [row.method for row in table.rows] == methods
    assert table.render()
    (whole,) = prove(checkpoint, get_modality("text"), settings, training)
    for row in table.rows:  # each is what it is among all
        assert row.accuracies in [one.accuracies for one in whole.rows if one.method == row.method]


def test_it_is_quiet_writes_nothing_and_repeats_itself(text, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    torch.manual_seed(3), np.random.seed(3)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(3), np.random.seed(3)
    capfd.readouterr()
    tables = prove(text[0], get_modality("text"), *text[1:])
    assert capfd.readouterr() == ("", "")
    assert sorted(tmp_path.rglob("*")) == before
    assert (torch.rand(1).item(), np.random.rand()) == expected
    assert prove(text[0], get_modality("text"), *text[1:]) == tables


class Killed(BaseException):
    """A run that ends, not one that fails."""


def test_a_killed_run_does_not_repeat_finished_fits_and_leaves_nothing_behind(text, monkeypatch) -> None:
    checkpoint, settings, training = text
    expected = prove(checkpoint, get_modality("text"), settings, training)
    (checkpoint / "_run.json").write_text("{}")  # the folder of a run
    before = sorted(checkpoint.rglob("*"))
    fits, fit = [], methods.fit_network

    def killed(*arguments):
        fits.append(arguments[4])
        if len(fits) == 6:
            raise Killed
        return fit(*arguments)

    monkeypatch.setattr(methods, "fit_network", killed)
    with pytest.raises(Killed):
        prove(checkpoint, get_modality("text"), settings, training)
    kept = [path for path in checkpoint.rglob("*") if path not in before]
    assert {path.relative_to(checkpoint).parts[0] for path in kept} == {CELLS_NAME} and CELLS_NAME[0] == "_"
    (checkpoint / "eval_results.json").write_text('{"eval_runtime": 2}')  # as the same command writes it again
    assert prove(checkpoint, get_modality("text"), settings, training) == expected
    assert len(fits) == 6 + 3  # of the 8 there were 5
    assert sorted(checkpoint.rglob("*")) == sorted(
        [*before, checkpoint / "eval_results.json", checkpoint / FEATURES_NAME]
    )
    features = kept_features(checkpoint, checkpoint_hash(checkpoint))
    assert len(features) == 9 and set(features.values("label")) == {"no", "yes"}


@pytest.mark.parametrize("changed", ["weights", "text", "settings"])
def test_what_a_killed_run_has_kept_of_something_else_is_not_used(changed, text, tmp_path, monkeypatch) -> None:
    checkpoint, settings, training = text
    (checkpoint / "_run.json").write_text("{}")
    monkeypatch.setattr(prove_module.shutil, "rmtree", lambda *given, **more: None)
    prove(checkpoint, get_modality("text"), settings, training)
    kept = set((checkpoint / CELLS_NAME).iterdir())
    if changed == "weights":
        path = checkpoint / "model.safetensors"
        save_file({name: each + 0.01 for name, each in load_file(path).items()}, path, {"format": "pt"})
    elif changed == "text":
        rows = Dataset.from_parquet(str(tmp_path / "train.parquet")).to_list()
        rows[0]["body"] += " w9"
        Dataset.from_list(rows).to_parquet(tmp_path / "train.parquet")
    else:
        settings = replace(settings, finetune_steps=2)
    prove(checkpoint, get_modality("text"), settings, training)
    anew = set((checkpoint / CELLS_NAME).iterdir())
    assert kept < anew and len(anew) == 2 * len(kept)


def test_it_runs_alone_where_a_launcher_promised_company(text, monkeypatch) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert prove(text[0], get_modality("text"), *text[1:])
    assert not torch.distributed.is_initialized()


def test_without_labels_there_is_no_table(text) -> None:
    assert prove(text[0], get_modality("text"), TextFewLabelSettings(), text[2]) == []


def save_audio(folder) -> None:
    torch.manual_seed(0)
    model, extractor = tiny_wav2vec2()
    assert isinstance(model, Wav2Vec2ForPreTraining) and isinstance(extractor, Wav2Vec2FeatureExtractor)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def test_audio_with_groups_has_a_second_table(tmp_path) -> None:
    save_audio(tmp_path / "checkpoint")
    rows = [{**row, "label": f"w{i % 2}", "speaker": "ab"[i // 2 % 2]} for i, row in enumerate(tiny_clips(28))]
    settings = AudioFewLabelSettings(**files(tmp_path, rows, 20, labelled_group_column="speaker", few_label_seeds=[0]))
    training = raw(tmp_path, list(tiny_clips(3, seed=1)))
    told = []
    arguments = tmp_path / "checkpoint", get_modality("audio"), settings, training
    table, left_out = prove(*arguments, lambda *step: told.append(step))
    for one in (table, left_out):
        by_group = "linear probe, normalised by group"
        assert [(row.name, row.method) for row in one.rows] == [
            ("log-mel", "logistic regression"),
            ("log-mel, normalised by group", "logistic regression"),
            ("random weights", "linear probe"),
            ("random weights", by_group),
            ("pretrained", "linear probe"),
            ("pretrained", by_group),
            ("pretrained", AUTO),
            ("pretrained", AUTO_TWICE),
            ("from scratch", "fine-tuned"),
            ("pretrained", "fine-tuned"),
        ]
        assert one.num_test == 8
    assert table.groups == () and left_out.groups == ("a", "b")
    assert len(told) == 20 + 2 * 20
    assert table.rare_classes == left_out.rare_classes == {}


def test_rare_classes_are_in_the_table_by_name(text) -> None:
    settings = replace(text[1], num_labels_per_class=[1, 50], few_label_seeds=[0])
    (table,) = prove(text[0], get_modality("text"), settings, text[2])
    assert table.rare_classes == {"no": 10, "yes": 10}
    assert "2 classes have fewer than 50 labels" in table.render()


def test_images_of_pairs_have_a_row_without_labels(tmp_path) -> None:
    tiny_dual_encoder().save_pretrained(tmp_path / "checkpoint")
    rows = [{"image": pair["image"], "label": pair["text"].split()[1]} for pair in tiny_pairs(60, seed=3)]
    settings = ImageFewLabelSettings(**files(tmp_path, rows, 40))
    training = raw(tmp_path, list(tiny_pairs(3, seed=1)))
    templates = ("a {} square",)
    (table,) = prove(tmp_path / "checkpoint", get_modality("image_text"), settings, training, templates=templates)
    assert [row.name for row in table.rows] == ["raw pixels", *NAMES, "pretrained"]
    assert [row.method for row in table.rows] == [*METHODS, "zero-shot"]
    assert len({score for scores in table.rows[-1].accuracies.values() for score in scores}) == 1
    assert "zero-shot" in table.to_markdown() and json.loads(table.to_json())["num_classes"] == 4


@pytest.mark.parametrize("settings", [{"few_label_seeds": []}, {"num_labels_per_class": []}, {"finetune_steps": 0}])
def test_settings_of_no_table_are_refused(text, settings) -> None:
    with pytest.raises(ValueError, match=r"No seed|No number of labels|finetune_steps is 0; it must be above 0"):
        prove(text[0], get_modality("text"), replace(text[1], **settings), text[2])
