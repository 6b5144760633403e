"""Checkpoints are whole or absent, and a folder belongs to one run."""

import json

import pytest

from hf_unlab.training.checkpoints import (
    MANIFEST_NAME,
    RUN_NAME,
    damage,
    newest_whole_checkpoint,
    resolve_checkpoint,
    write_json,
    write_manifest,
)


@pytest.fixture
def run(tmp_path):
    """A run with whole checkpoints of steps 2, 10 and 9, written in this order."""
    write_json(tmp_path / RUN_NAME, {})
    for step in (2, 10, 9):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "sub").mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(bytes(100))
        (folder / "sub" / "rng.pth").write_bytes(b"abc")
        write_manifest(folder)
    return tmp_path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_the_newest_is_that_of_the_highest_step(run):
    assert newest_whole_checkpoint(run).name == "checkpoint-10"
    assert resolve_checkpoint(run, "auto").name == "checkpoint-10"
    assert resolve_checkpoint(run, True).name == "checkpoint-10"


@pytest.mark.parametrize(
    "harm, reason",
    [
        (lambda folder: truncate(folder / "model.safetensors"), "99 bytes instead of 100"),
        (lambda folder: flip_a_bit(folder / "sub" / "rng.pth"), "has changed"),
        (lambda folder: (folder / "sub" / "rng.pth").unlink(), "is missing"),
        (lambda folder: (folder / MANIFEST_NAME).unlink(), "cut short"),
        (lambda folder: truncate(folder / MANIFEST_NAME) or truncate(folder / MANIFEST_NAME), "cut short"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(run, caplog, harm, reason):
    harm(run / "checkpoint-10")
    assert reason in damage(run / "checkpoint-10")
    assert newest_whole_checkpoint(run).name == "checkpoint-9"
    assert "checkpoint-10" in caplog.text and reason in caplog.text
    with pytest.raises(ValueError, match="Cannot resume from") as error:
        resolve_checkpoint(run, str(run / "checkpoint-10"))
    assert reason in str(error.value)


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
    assert resolve_checkpoint(run, None, overwrite=True) is None
    assert [path.name for path in run.iterdir()] == ["notes.txt"]


def test_auto_in_a_folder_without_checkpoints_begins_anew(tmp_path):
    assert resolve_checkpoint(tmp_path, "auto") is None
    assert resolve_checkpoint(tmp_path / "not there", "auto") is None
    assert resolve_checkpoint(tmp_path, None) is None


def test_json_is_replaced_whole(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [object()])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
