"""A folder belongs to one run, tells where to go on, and holds nothing that must not leave the machine."""

import json
import os

import pytest

from hf_unlab.training import checkpoints
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.checkpoints import MANIFEST_NAME, set_aside_later, write_json
from hf_unlab.training.run_folder import (
    HELD_OUT_NAME,
    RETURNS_NAME,
    RUN_NAME,
    adopt_old_names,
    claim,
    find_checkpoint,
    mark_stopped,
    resolve_checkpoint,
)
from tests.processes.launching import in_two_processes
from tests.training.helpers import make_trainer, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


@pytest.mark.parametrize("newest", ["auto", True, "true"])
def test_the_newest_whole_checkpoint_is_resumed_from(run, newest):
    assert resolve_checkpoint(run, newest).name == "checkpoint-10"
    (run / "checkpoint-10" / MANIFEST_NAME).unlink()
    assert resolve_checkpoint(run, newest).name == "checkpoint-9"
    with pytest.raises(ValueError, match=r"Cannot resume from .*cut short"):
        resolve_checkpoint(run, str(run / "checkpoint-10"))


def test_a_named_checkpoint_is_taken(run):
    assert resolve_checkpoint(run, str(run / "checkpoint-2")).name == "checkpoint-2"
    with pytest.raises(ValueError, match="no such folder"):
        resolve_checkpoint(run, str(run / "checkpoint-3"))


def test_a_checkpoint_of_another_run_does_not_go_on_in_this_one(run, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("other")
    write_json(elsewhere / RUN_NAME, {})
    with pytest.raises(ValueError, match="holds another run than"):
        resolve_checkpoint(elsewhere, str(run / "checkpoint-2"))


def test_a_new_run_in_the_folder_of_another_is_refused(run):
    with pytest.raises(ValueError, match="holds another run") as error:
        resolve_checkpoint(run, None)
    for way_out in ("--resume_from_checkpoint auto", "--output_dir", "--overwrite_output_dir"):
        assert way_out in str(error.value)


def test_overwriting_deletes_the_run_and_nothing_else(run):
    (run / "notes.txt").write_text("mine")
    for name in (HELD_OUT_NAME, RETURNS_NAME):
        (run / name).write_text("{}")
    set_aside_later(run, 9)
    assert resolve_checkpoint(run, None, overwrite=True) is None
    assert [path.name for path in run.iterdir()] == ["notes.txt"]


def test_auto_in_a_folder_without_checkpoints_begins_anew(tmp_path):
    assert resolve_checkpoint(tmp_path, "auto") is None
    assert resolve_checkpoint(tmp_path / "not there", "auto") is None
    assert resolve_checkpoint(tmp_path, None) is None


def test_a_run_s_settings_are_kept_without_secrets(tmp_path):
    token = "hf_" + "x" * 30
    args = PretrainingArguments(str(tmp_path), hub_token=token, run_name=f"https://me:word@host/run?sig={token}")
    claim(tmp_path, "Trainer", args)
    mark_stopped(tmp_path)
    text = (tmp_path / RUN_NAME).read_text()
    run = json.loads(text)
    assert run["is_stopped"] and run["settings"]["max_steps"] == 10_000
    assert run["settings"]["run_name"] == "https://***@host/run?***"
    assert token not in text and "word" not in text and "hub_token" not in run["settings"]


def as_of_old(run):
    """The folder as version 0.1 left it."""
    (run / RUN_NAME).unlink()
    write_json(run / "run.json", {"trainer": "MaskedLMTrainer", "is_stopped": True})
    for name in ("held_out.parquet", "returns.json", "training_args.bin"):
        (run / name).write_text(name)


def test_a_folder_of_before_takes_the_new_names_and_goes_on(run):
    as_of_old(run)
    assert resolve_checkpoint(run, None).name == "checkpoint-10"  # a signal had stopped it
    adopt_old_names(run)
    names = {path.name for path in run.iterdir() if path.is_file()}
    assert names == {RUN_NAME, HELD_OUT_NAME, RETURNS_NAME}
    assert (run / HELD_OUT_NAME).read_text() == "held_out.parquet"


@pytest.mark.parametrize("content", ["mine", "[]", "3", '{"trainer": "mine"}'])
def test_a_file_of_the_user_s_keeps_its_name(tmp_path, content):
    for name in ("run.json", "held_out.parquet", "training_args.bin"):
        (tmp_path / name).write_text(content)
    assert resolve_checkpoint(tmp_path, None) is None
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "held_out.parquet", "training_args.bin"}


def count_checksums(monkeypatch):
    summed, checksum = [], checkpoints._checksum
    monkeypatch.setattr(checkpoints, "_checksum", lambda path: summed.append(path.name) or checksum(path))
    return summed


def test_a_script_and_its_trainer_together_sum_up_a_checkpoint_once(tmp_path, monkeypatch):
    make_trainer(tmp_path, max_steps=3).train()
    summed = count_checksums(monkeypatch)
    trainer = make_trainer(tmp_path, max_steps=3, resume_from_checkpoint="auto")
    trainer.train(resume_from_checkpoint=str(find_checkpoint(trainer.args)))
    files = json.loads((tmp_path / "checkpoint-3" / MANIFEST_NAME).read_text())["files"]
    assert len(summed) == len(files) > 5


def find_in_rank(folder):
    monkeypatch = pytest.MonkeyPatch()
    summed = count_checksums(monkeypatch)
    args = PretrainingArguments(str(folder), use_cpu=True, resume_from_checkpoint="auto")
    found = [find_checkpoint(args).name, find_checkpoint(args, str(folder / "checkpoint-2")).name]
    with pytest.raises(ValueError, match="no such folder"):
        find_checkpoint(args, str(folder / "checkpoint-3"))
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps([found, len(summed)]))
    monkeypatch.undo()


def test_one_process_a_node_sums_up_and_the_others_are_told(run):
    in_two_processes(find_in_rank, run)
    ranks = [json.loads((run / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks == [[["checkpoint-10", "checkpoint-2"], 4], [["checkpoint-10", "checkpoint-2"], 0]]
