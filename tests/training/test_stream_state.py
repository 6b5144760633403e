"""On which terms another launch goes on from a checkpoint."""

import json

import pytest
from datasets import Dataset

from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.checkpoints import write_manifest
from hf_unlab.training.stream_state import (
    accumulation_for,
    check_resumable,
    check_settings,
    num_readers_for,
    rank_window,
    warn_of_another_mix,
)
from tests.training.helpers import TEXTS, At, make_trainer, stop


def test_the_number_of_readers_is_kept_when_a_run_resumes(tmp_path):
    make_trainer(tmp_path, num_readers=4, callbacks=[At(3, stop)]).train()
    resumed = make_trainer(tmp_path, num_readers=None)
    resumed.train(resume_from_checkpoint="auto")
    assert resumed._loader.plan.num_readers == 4


@pytest.mark.parametrize("missing", ["optimizer.pt", "scheduler.pt"])
def test_a_checkpoint_of_the_weights_alone_is_refused(tmp_path, missing):
    make_trainer(tmp_path, callbacks=[At(3, stop)]).train()
    checkpoint = tmp_path / "checkpoint-3"
    (checkpoint / missing).unlink()
    write_manifest(checkpoint)  # whole, as save_only_model leaves it
    before = (tmp_path / "_run.json").stat().st_mtime_ns
    with pytest.raises(ValueError, match=f"it has no {missing.removesuffix('.pt')}.*, only weights"):
        make_trainer(tmp_path).train(resume_from_checkpoint="auto")
    assert (tmp_path / "_run.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["optimizer.bin", "optimizer_0/part", "global_step3/part"])
def test_the_optimizer_of_fsdp_and_of_deepspeed_is_one(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    if not name.startswith("global"):
        (tmp_path / "scheduler.pt").touch()
    check_resumable(tmp_path)


def test_a_checkpoint_says_where_the_stream_stood(tmp_path):
    make_trainer(tmp_path, gradient_accumulation_steps=2).train()
    state = json.loads((tmp_path / "checkpoint-12" / "stream_state.json").read_text())
    assert state["num_batches"] == 24
    assert set(state["readers"]) == {"0", "1", "2", "3"}


def test_other_data_is_refused_when_a_run_resumes(tmp_path):
    data = Dataset.from_dict({"text": TEXTS})
    make_trainer(tmp_path, data, callbacks=[At(3, stop)]).train()
    with pytest.raises(ValueError, match=r"was made with source_sizes=\[\d+\] \(now \[\d+\]\)"):
        make_trainer(tmp_path, data.select(range(300))).train(resume_from_checkpoint="auto")


def test_a_step_keeps_its_micro_batches(caplog):
    assert [accumulation_for(8, ranks, configured=8 // ranks) for ranks in (1, 2, 4, 8)] == [8, 4, 2, 1]
    assert not caplog.records
    assert accumulation_for(6, world_size=1, configured=2) == 6
    assert "1 process x 6 accumulated (gradient_accumulation_steps was 2)" in caplog.text
    with pytest.raises(ValueError, match=r"6 micro-batches, which 4 processes .* 1 or 2 or 3 or 6 processes"):
        accumulation_for(6, world_size=4, configured=1)


WINDOWS = [{"loss": float(rank), "metrics": {"a": [rank, 1]}} for rank in range(4)]


def test_each_rank_goes_on_with_its_own_window_if_there_are_as_many():
    assert [rank_window(WINDOWS, rank, 4) for rank in range(4)] == [
        (float(rank), [{"a": [rank, 1]}]) for rank in range(4)
    ]


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_on_other_ranks_no_part_of_a_window_is_lost_or_counted_twice(world_size):
    """Losses are averaged over ranks, metrics summed."""
    losses, metrics = zip(*(rank_window(WINDOWS, rank, world_size) for rank in range(world_size)), strict=True)
    assert sum(losses) / world_size == sum(window["loss"] for window in WINDOWS) / 4
    assert [one for of_rank in metrics for one in of_rank] == [window["metrics"] for window in WINDOWS]


def test_readers_are_as_set_or_as_before_or_enough(tmp_path):
    def args(**settings):
        return PretrainingArguments(str(tmp_path), use_cpu=True, **settings)

    assert num_readers_for(args(), None, is_distinct=False) == 8
    assert num_readers_for(args(), {"num_readers": 5}, is_distinct=False) == 5
    assert num_readers_for(args(num_readers=3), {"num_readers": 5}, is_distinct=False) == 3  # and refused later
    many = args(gradient_accumulation_steps=12)
    assert num_readers_for(many, None, is_distinct=False) == 8
    assert num_readers_for(many, None, is_distinct=True) == 12
    with pytest.raises(ValueError, match=r"num_readers=5 is too low for steps of 12 .*Take num_readers=12"):
        num_readers_for(many, {"num_readers": 5}, is_distinct=True)


def test_each_setting_that_differs_is_named():
    with pytest.raises(ValueError, match=r"made with a=1 \(now 2\), c=None \(now 3\): its place"):
        check_settings({"a": 1, "b": 1}, {"a": 2, "b": 1, "c": 3})


def test_another_mix_is_said(caplog):
    warn_of_another_mix([("web", 1.0), ("books", 2.0)], [("web", 1.0), ("novels", 3.0)])
    assert [record.getMessage() for record in caplog.records] == [
        "The source 'novels' stands where 'books' stood; it must hold the same examples.",
        "The source 'novels' goes on with weight 3 instead of 2.",
    ]
