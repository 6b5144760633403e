"""The wav2vec 2.0 recipe as people run it: from clips to a table, and to checkpoints that are ordinary ones."""

import json

import pytest
from datasets import Dataset

from hf_unlab.app.arguments import read_arguments
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.audio.settings import AudioDataSettings, AudioFewLabelSettings, AudioModelSettings
from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.trainer import Wav2Vec2PretrainingTrainer
from hf_unlab.testing import tiny_clips
from tests.processes.launching import WAV2VEC2, pretrain

TINY = recipe_path("wav2vec2", "tiny.yaml")
FEW_STEPS = ["--max_steps", "3", "--eval_steps", "3", "--save_steps", "3", "--logging_steps", "1"]
FEW_STEPS += ["--max_seconds", "1", "--max_batch_seconds", "4", "--dataloader_num_workers", "0", "--precision", "fp32"]
FEW_STEPS += ["--validation_num_examples", "10"]
SMALL = ["--config_overrides", "hidden_size=32,num_hidden_layers=1,intermediate_size=32"]
SMALL_TABLE = ["--num_labels_per_class", "1", "2", "--few_label_seeds", "0", "--few_label_max_test", "20"]
SMALL_TABLE += ["--finetune_steps", "1"]


def run(*argv):
    pretrain([str(part) for part in argv], WAV2VEC2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A file of clips, with a label and one of three speakers each."""
    rows = [{**row, "word": f"word {i % 2}", "speaker": "abc"[i // 2 % 3]} for i, row in enumerate(tiny_clips(72))]
    paths = []
    for name, part in (("train", rows[:60]), ("test", rows[60:])):
        paths.append(tmp_path_factory.mktemp("clips") / f"{name}.parquet")
        Dataset.from_list(part).to_parquet(paths[-1])
    return paths


def test_clips_become_a_checkpoint_with_two_tables(tmp_path, clips, capsys):
    train, test = clips
    labelled = ["--labelled_dataset", "parquet", "--labelled_train_files", train, "--labelled_test_files", test]
    labelled += ["--label_column", "word", "--labelled_group_column", "speaker"]
    # pretrained on other clips than those that are tested on
    others = tmp_path / "others.parquet"
    Dataset.from_list(list(tiny_clips(60, seed=1))).to_parquet(others)
    data = ["--dataset", "parquet", "--data_files", others]
    run("--config", TINY, *FEW_STEPS, *SMALL, *SMALL_TABLE, *data, *labelled, "--output_dir", tmp_path / "out")
    table, left_out = (
        json.loads((tmp_path / "out" / f"few_label{name}.json").read_text()) for name in ("", "_left_out")
    )
    names = ["log-mel", "log-mel, normalised by group", *["random weights"] * 2, *["pretrained"] * 4, "from scratch"]
    names += ["pretrained"]
    for one in (table, left_out):
        assert [row["name"] for row in one["rows"]] == names
        assert one["num_test"] == 12 and one["overlaps"] == []
    assert left_out["groups"] == ["a", "b", "c"] and len(left_out["rows"][0]["accuracies"]["1"]) == 3
    shown = capsys.readouterr().out
    assert "perplexity: codes" in shown and "AutoFeatureExtractor" in shown and "left out" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if "/" not in line)


def test_formants_need_nothing_and_their_own_words_are_the_table(tmp_path):
    run("--config", TINY, *FEW_STEPS, *SMALL, *SMALL_TABLE, "--output_dir", tmp_path)
    table = json.loads((tmp_path / "few_label.json").read_text())
    assert table["task"] == "builtin:formants" and table["num_classes"] == 20
    assert [row["name"] for row in table["rows"]][:3] == ["log-mel", "random weights", "pretrained"]


@pytest.mark.parametrize("name", ["tiny.yaml", "base.yaml"])
def test_the_settings_are_understood(name):
    classes = (AudioDataSettings, AudioModelSettings, AudioFewLabelSettings, Wav2Vec2TrainingArguments)
    data, model, _, args = read_arguments(*classes, argv=["--config", str(recipe_path("wav2vec2", name))])
    assert data.sources() and model.model in ("tiny", "base") and args.max_steps >= 100


def test_help_is_readable(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    shown = capsys.readouterr().out
    assert "--max_batch_seconds" in shown and "--on_collapse" in shown


def test_labels_that_nothing_can_be_measured_by_end_the_run_before_it_trains(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Wav2Vec2PretrainingTrainer, "train", lambda self, **given: pytest.fail("it trains"))
    with pytest.raises(SystemExit) as exit_info:
        run("--config", TINY, *SMALL, "--output_dir", tmp_path, "--few_label_max_pool", "0")
    assert exit_info.value.code == 2 and "few_label_max_pool is 0" in capsys.readouterr().err
