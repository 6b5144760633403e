"""Checkpoints are whole or absent, are summed up once, and say in which form they were written."""

import json
import shutil

import pytest

from hf_unlab.training import checkpoints
from hf_unlab.training.checkpoints import (
    MANIFEST_NAME,
    STREAM_STATE_NAME,
    STREAM_STATE_VERSION,
    damage,
    newest_whole_checkpoint,
    read_stream_state,
    rotate,
    set_aside_later,
    step_of,
    write_json,
)
from tests.training.helpers import make_trainer, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_the_newest_is_that_of_the_highest_step(run):
    assert newest_whole_checkpoint(run).name == "checkpoint-10"


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


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"files": []}', '{"files": {"a": 3}}', '{"files": {"a": {}}}', "null"]
)
def test_a_manifest_of_another_form_is_no_manifest(run, content):
    (run / "checkpoint-10" / MANIFEST_NAME).write_text(content)
    assert "no readable manifest.json" in damage(run / "checkpoint-10")


def test_files_are_summed_up_once_and_again_where_one_was_touched(run, monkeypatch):
    summed, checksum = [], checkpoints._checksum
    monkeypatch.setattr(checkpoints, "_checksum", lambda path: summed.append(path.name) or checksum(path))
    for _ in range(2):
        assert damage(run / "checkpoint-10") is None
        assert summed == ["model.safetensors", "rng.pth"]
    flip_a_bit(run / "checkpoint-10" / "model.safetensors")
    for _ in range(2):  # what is damaged is not taken for whole the second time
        assert damage(run / "checkpoint-10") == "model.safetensors has changed since it was saved"
    assert len(summed) == 4


def test_later_checkpoints_are_set_aside_and_no_longer_found(run, caplog):
    (run / "checkpoint-11-of-mine").mkdir()
    (run / "checkpoint-10" / MANIFEST_NAME).unlink()  # cut short: it is abandoned too
    assert set_aside_later(run, 10) == [] and not caplog.records
    moved = set_aside_later(run, 2)
    assert [path.name for path in moved] == ["_abandoned-checkpoint-9", "_abandoned-checkpoint-10"]
    assert damage(moved[0]) is None and newest_whole_checkpoint(run).name == "checkpoint-2"
    assert "from step 2: the later checkpoints are set aside as _abandoned-checkpoint-9, _abandoned" in caplog.text
    assert sorted(path.name for path in run.glob("checkpoint-*")) == ["checkpoint-11-of-mine", "checkpoint-2"]
    (run / "checkpoint-9").mkdir()
    assert [path.name for path in set_aside_later(run, 2)] == ["_abandoned-checkpoint-9-2"]


@pytest.mark.parametrize(
    "limit, best, kept",
    [
        (1, None, [10]),
        (2, None, [9, 10]),
        (2, "checkpoint-2", [2, 10]),
        (1, "checkpoint-2", [2, 10]),
        (1, "checkpoint-10", [10]),
        (2, "elsewhere/checkpoint-9", [9, 10]),
        (3, "checkpoint-5", [2, 9, 10]),
        (4, None, [2, 9, 10]),
        (7, None, [2, 9, 10]),
        (0, None, [2, 9, 10]),
    ],
)
def test_the_newest_and_the_best_are_kept_whatever_the_age_of_their_folders(run, limit, best, kept):
    """10 is older than 9. A copy of the user's, and what was set aside, are neither counted nor deleted."""
    others = {"checkpoint-11-of-mine", "_abandoned-checkpoint-12"}
    for name in others:
        shutil.copytree(run / "checkpoint-2", run / name)
    rotate(run, limit, best)
    assert {path.name for path in run.iterdir() if path.is_dir()} == others | {f"checkpoint-{step}" for step in kept}


def test_a_checkpoint_of_another_name_tells_its_step_by_what_it_holds(run):
    write_json(run / "checkpoint-9" / "trainer_state.json", {"global_step": 9})
    assert step_of(run / "checkpoint-9") == step_of((run / "checkpoint-9").rename(run / "last-checkpoint")) == 9


# As it was written by the version whose number it bears. It is not to be edited: where the code no longer writes or
# reads it, STREAM_STATE_VERSION goes up, and a new one stands here.
READER = {
    "num_examples": 8,
    "sources": [
        {
            "epoch": 0,
            "num_in_pass": 8,
            "num_examples": 8,
            "num_left_out": 0,
            "pass": {"stream": {"examples_iterable": {"shard_idx": 1}, "epoch": 3}, "row": 1000, "num_given": 8},
            "tally": {"next_index": 20, "num_read": 20, "reasons": {"empty": 1}, "first": ["empty: {'text': ''}"]},
        }
    ],
}
STATE_2 = {
    "format_version": 2,
    "num_readers": 4,
    "batch_size": 4,
    "num_batches": 12,
    "readers": {"0": READER, "1": READER, "2": READER, "3": READER},
    "micro_batches_per_step": 1,
    "mix": [["data 0", 1.0]],
    "settings": {"seed": 42, "source_sizes": [3]},
    "windows": [{"loss": 0.5, "last_logged": 8, "seconds": 1.0, "metrics": {"accuracy": [3.0, 12.0]}}],
}


def keys_of(state):
    """The keys of a state without those of metrics and streams, which are not ours or not always there."""
    reader = state["readers"]["0"]
    (source,) = reader["sources"]
    parts = [state, reader, source, source["pass"], source["tally"], state["windows"][0]]
    return [set(part) for part in parts]


def test_the_form_of_a_stream_s_state_changes_with_its_number(tmp_path):
    """If this fails, checkpoints of before cannot be read as they were: raise STREAM_STATE_VERSION."""
    make_trainer(tmp_path, max_steps=3).train()
    state = read_stream_state(tmp_path / "checkpoint-3")
    assert state["format_version"] == STREAM_STATE_VERSION == STATE_2["format_version"]
    assert state.pop("num_inputs") >= 0, "those of before have none, which counts as 0"
    assert keys_of(state) == keys_of(STATE_2)
    assert set(STATE_2["settings"]) <= set(state["settings"])


@pytest.mark.parametrize(
    "version, mend", [(STREAM_STATE_VERSION + 1, "upgrade hf_unlab"), (0, "hf_unlab that saved it"), ("x", "saved it")]
)
def test_a_state_of_another_form_is_refused_with_both_numbers_and_the_mend(tmp_path, version, mend):
    write_json(tmp_path / STREAM_STATE_NAME, {**STATE_2, "format_version": version})
    with pytest.raises(ValueError, match=f"is of format {version}, and this hf_unlab reads format 2. Either") as error:
        read_stream_state(tmp_path)
    assert mend in str(error.value)


def test_a_state_from_before_there_were_numbers_is_of_the_first_form(tmp_path):
    unnumbered = {name: part for name, part in STATE_2.items() if name != "format_version"}
    write_json(tmp_path / STREAM_STATE_NAME, unnumbered)
    with pytest.raises(ValueError, match=r"is of format 1, and this hf_unlab reads format 2\. Either go on with the"):
        read_stream_state(tmp_path)


def test_a_checkpoint_without_a_stream_s_state_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no stream_state"):
        read_stream_state(tmp_path)


def test_json_is_replaced_whole(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [object()])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
