"""The recipe of clusters as people run it: of recordings and of images, from scratch and from a pretrained model."""

import json

import pytest
from datasets import Dataset
from transformers import AutoModel

from hf_unlab.app.arguments import read_arguments
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities import get_modality
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.settings import ClusterModelSettings
from hf_unlab.testing import tiny_mel_model
from tests.objectives.clusters.helpers import CLIPS, IMAGES
from tests.processes.launching import CLUSTERS, pretrain
from tests.recipes.helpers import refusal_of

TINY, OF_IMAGES = (recipe_path("clusters", name) for name in ("tiny.yaml", "images.yaml"))
FEW_STEPS = ["--max_steps", "4", "--num_rounds", "2", "--logging_steps", "1", "--eval_steps", "2", "--save_steps", "2"]
FEW_STEPS += ["--per_device_train_batch_size", "8", "--dataloader_num_workers", "0", "--precision", "fp32"]
FEW_STEPS += ["--validation_fraction", "0.2", "--cluster_sizes", "3", "5"]
SMALL_TABLE = ["--num_labels_per_class", "1", "2", "--few_label_seeds", "0", "--finetune_steps", "1"]


def run(*argv):
    pretrain([str(part) for part in argv], CLUSTERS)


def labelled(folder, rows):
    """Files of raw, labelled and test examples, and what names them."""
    rows = [{**row, "word": f"word {number % 2}"} for number, row in enumerate(rows)]
    parts = {"raw": rows[20:], "train": rows[8:20], "test": rows[:8]}
    for name, part in parts.items():
        Dataset.from_list(part).to_parquet(folder / f"{name}.parquet")
    given = ["--dataset", "parquet", "--data_files", folder / "raw.parquet", "--labelled_dataset", "parquet"]
    given += ["--labelled_train_files", folder / "train.parquet", "--labelled_test_files", folder / "test.parquet"]
    return [*given, "--label_column", "word"]


def test_a_pretrained_model_goes_on_by_speaker_and_ends_in_two_tables(tmp_path, capsys):
    for part in tiny_mel_model():
        part.save_pretrained(tmp_path / "before")
    given = ["--config", TINY, *FEW_STEPS, *SMALL_TABLE, *labelled(tmp_path, CLIPS), "--model", tmp_path / "before"]
    run(*given, "--normalise", "group", "--output_dir", tmp_path / "out")
    shown = capsys.readouterr().out
    assert "clusters: perplexity" in shown and "as before" in shown and "examples/s" in shown
    table, left_out = (
        json.loads((tmp_path / "out" / f"few_label{name}.json").read_text()) for name in ("", "_left_out")
    )
    assert {"log-mel", "random weights", "pretrained"} <= {row["name"] for row in table["rows"]}
    assert left_out["groups"] == ["a", "b", "c"]
    model = AutoModel.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == "Wav2Vec2BertModel" and model.config.hidden_size == 16
    # and on from its last checkpoint
    run(
        *given,
        "--normalise",
        "group",
        "--output_dir",
        tmp_path / "out",
        "--max_steps",
        "6",
        "--resume_from_checkpoint",
        "auto",
    )
    state = json.loads((tmp_path / "out" / "checkpoint-6" / "trainer_state.json").read_text())
    assert [line["step"] for line in state["log_history"] if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_images_are_a_matter_of_the_yaml(tmp_path):
    online = ["--online_measures", "effective_rank"]
    run(
        "--config", OF_IMAGES, *FEW_STEPS, *SMALL_TABLE, *labelled(tmp_path, IMAGES), *online, "--output_dir", tmp_path
    )
    table = json.loads((tmp_path / "few_label.json").read_text())
    assert {"raw pixels", "random weights", "pretrained"} <= {row["name"] for row in table["rows"]}
    assert type(AutoModel.from_pretrained(tmp_path)).__name__ == "ResNetModel"
    assert "eval_effective_rank" in json.loads((tmp_path / "eval_results.json").read_text())


@pytest.mark.parametrize("path, modality", [(TINY, "audio"), (OF_IMAGES, "image")])
def test_the_settings_are_understood(path, modality):
    found = get_modality(modality)
    classes = (found.data_settings, ClusterModelSettings, found.few_label_settings, ClusterTrainingArguments)
    data, model, _, args = read_arguments(*classes, argv=["--config", str(path)])
    assert data.sources() and model.modality == modality and args.max_steps >= 100


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--modality", "text"], "invalid choice: 'text'"),
        (["--modality", "image", "--audio_column", "sound"], "unknown option --audio_column"),
        (["--model", "./nowhere"], "There is no model './nowhere' of audio: give tiny, mel-tiny"),
        (["--cluster_size", "20"], "did you mean --cluster_sizes"),
        (["--group_column", "nobody"], "no column 'nobody'"),
        (["--cluster_sizes", "2000"], "different training examples for 2000 clusters"),
    ],
)
def test_a_mistake_ends_in_one_message_and_code_2(settings, message, tmp_path, capsys):
    given = ["--config", TINY, *FEW_STEPS, *labelled(tmp_path, CLIPS), "--model", "mel-tiny", "--output_dir", tmp_path]
    assert message in refusal_of(capsys, run, *given, *settings)
