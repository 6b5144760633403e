"""The BEST-RQ recipe as people run it: from clips to a table, and to checkpoints that are ordinary ones."""

import json

import pytest
from datasets import Dataset
from typer.testing import CliRunner

from hf_unlab.app import cli
from hf_unlab.app.arguments import read_arguments
from hf_unlab.evaluation.embedding_files import read_embeddings
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings, MelDataSettings, MelModelSettings
from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments
from hf_unlab.testing import tiny_clips, tiny_mel_model
from tests.processes.launching import BEST_RQ, pretrain
from tests.recipes.helpers import refusal_of

TINY = recipe_path("best_rq", "tiny.yaml")
FEW_STEPS = ["--max_steps", "3", "--eval_steps", "3", "--save_steps", "3", "--logging_steps", "1"]
FEW_STEPS += ["--max_seconds", "1", "--max_batch_seconds", "4", "--dataloader_num_workers", "0", "--precision", "fp32"]
FEW_STEPS += ["--validation_num_examples", "10"]
SMALL = ["--config_overrides", "hidden_size=32,num_hidden_layers=1,intermediate_size=32"]
SMALL_TABLE = ["--num_labels_per_class", "1", "2", "--few_label_seeds", "0", "--few_label_max_test", "20"]
SMALL_TABLE += ["--finetune_steps", "1"]


def run(*argv):
    pretrain([str(part) for part in argv], BEST_RQ)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A file of clips, with a label and one of three speakers each."""
    rows = [{**row, "word": f"word {i % 2}", "speaker": "abc"[i // 2 % 3]} for i, row in enumerate(tiny_clips(72))]
    paths = []
    for name, part in (("train", rows[:60]), ("test", rows[60:])):
        paths.append(tmp_path_factory.mktemp("clips") / f"{name}.parquet")
        Dataset.from_list(part).to_parquet(paths[-1])
    return paths


@pytest.mark.parametrize("normalise", ["clip", "group"])
def test_clips_become_a_checkpoint_with_two_tables(tmp_path, clips, capsys, normalise):
    train, test = clips
    labelled = ["--labelled_dataset", "parquet", "--labelled_train_files", train, "--labelled_test_files", test]
    labelled += ["--label_column", "word", "--labelled_group_column", "speaker"]
    others = tmp_path / "others.parquet"  # pretrained on other clips than those that are tested on
    rows = [{**row, "who": number % 4} for number, row in enumerate(tiny_clips(60, seed=1))]
    Dataset.from_list(rows).to_parquet(others)
    data = ["--dataset", "parquet", "--data_files", others]
    data += ["--normalise", normalise, "--group_column", "who" if normalise == "group" else "null"]
    out = tmp_path / "out"
    run("--config", TINY, *FEW_STEPS, *SMALL, *SMALL_TABLE, *data, *labelled, "--output_dir", out)
    table, left_out = (json.loads((out / f"few_label{name}.json").read_text()) for name in ("", "_left_out"))
    names = ["log-mel", "log-mel, normalised by group", *["random weights"] * 2, *["pretrained"] * 4, "from scratch"]
    for one in (table, left_out):
        assert [row["name"] for row in one["rows"]] == [*names, "pretrained"] and one["num_test"] == 12
    assert json.loads((out / "config.json").read_text())["best_rq"]["codebook_size"] == 256
    shown = capsys.readouterr().out
    assert "targets: perplexity" in shown and "AutoFeatureExtractor" in shown


def test_the_commands_read_its_checkpoint(tmp_path, clips):
    train, test = map(str, clips)
    model, made = str(tmp_path / "model"), tmp_path / "embedded.parquet"
    for part in tiny_mel_model():
        part.save_pretrained(model)
    labels = ("--label_column", "word")
    invoke("embed", model, "parquet", "-o", str(made), "--data_files", train, *labels)
    assert read_embeddings(made).features.shape == (60, 2 * 3 * 16)
    data = ("--dataset", "parquet", "--data_files", train, "--eval_files", test)
    invoke("evaluate", model, "-o", str(tmp_path / "measured"), "--no-pictures", *data, *labels)
    assert (tmp_path / "measured" / "results.json").exists()
    data = ("--labelled_train_files", train, "--labelled_test_files", test, *labels, "--finetune_steps", "2")
    for method in ("auto", "lora", "full"):
        invoke("finetune", model, "parquet", "-o", str(tmp_path / method), "--method", method, *data)


def invoke(*argv):
    result = CliRunner().invoke(cli.app, argv)
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize("name", ["tiny.yaml", "base.yaml"])
def test_the_settings_are_understood(name):
    classes = (MelDataSettings, MelModelSettings, AudioFewLabelSettings, BestRQTrainingArguments)
    data, model, _, args = read_arguments(*classes, argv=["--config", str(recipe_path("best_rq", name))])
    assert data.sources() and model.model in ("mel-tiny", "base") and args.max_steps >= 100


def test_groups_and_their_column_go_together(tmp_path, clips, capsys):
    data = ["--dataset", "parquet", "--data_files", clips[0], "--output_dir", tmp_path]
    said = refusal_of(capsys, run, "--config", TINY, *SMALL, *data, "--group_column", "speaker", "--normalise", "clip")
    assert "group_column='speaker' cannot act" in said
    assert "column 'group'" in refusal_of(capsys, run, "--config", TINY, *FEW_STEPS, *SMALL, *data)
