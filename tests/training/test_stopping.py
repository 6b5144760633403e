"""Runs that end early, and the same runs going on: signals, data that cannot be read, bad examples, a full disk."""

import os
import resource
import signal
from functools import partial

import pytest
import torch
from datasets import IterableDataset

from hf_unlab.testing import tiny_stream
from hf_unlab.training.checkpoints import damage
from hf_unlab.training.stopping import EXIT_STOPPED, StepReport, behind_training, count_items
from tests.training.helpers import TEXTS, At, assert_same_weights, losses, make_trainer, stop


def send(number, control):
    os.kill(os.getpid(), number)


def train(trainer, **options):
    """Train to the end, or to the exit code with which it stops."""
    try:
        trainer.train(**options)
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.mark.parametrize(
    "number, workers, accumulation", [(signal.SIGTERM, 0, 1), (signal.SIGUSR1, 0, 2), (signal.SIGTERM, 2, 1)]
)
def test_a_signal_saves_and_the_same_command_goes_on_to_the_same_end(tmp_path, number, workers, accumulation):
    settings = {"gradient_accumulation_steps": accumulation, "dataloader_num_workers": workers}
    whole = make_trainer(tmp_path / "whole", **settings)
    whole.train()

    stopped = make_trainer(tmp_path / "cut", callbacks=[At(5, partial(send, number))], **settings)
    before = signal.getsignal(number)
    assert train(stopped) == EXIT_STOPPED == 75
    assert signal.getsignal(number) is before
    assert stopped.state.global_step == 5  # not a step further
    assert damage(tmp_path / "cut" / "checkpoint-5") is None

    resumed = make_trainer(tmp_path / "cut", **settings)
    assert train(resumed) == 0  # without a word of resuming
    assert losses(resumed) == losses(whole)
    assert_same_weights(resumed, whole)
    with pytest.raises(ValueError, match="holds another run"):  # it has ended, and is not gone on with by itself
        make_trainer(tmp_path / "cut", **settings).train()


def test_a_signal_at_the_last_step_is_obeyed_too(tmp_path):
    trainer = make_trainer(tmp_path, callbacks=[At(12, partial(send, signal.SIGTERM))])
    assert train(trainer) == EXIT_STOPPED
    assert train(make_trainer(tmp_path)) == 0


@pytest.mark.parametrize("resume", ["auto", "PATH", "overwrite"])
def test_whatever_the_command_says_it_goes_on_when_it_is_run_again(tmp_path, resume):
    make_trainer(tmp_path / "other", max_steps=3).train()
    settings = {
        "auto": {"resume_from_checkpoint": "auto"},
        "PATH": {"resume_from_checkpoint": str(tmp_path / "other" / "checkpoint-3")},
        "overwrite": {"overwrite_output_dir": True},
    }[resume]
    run = tmp_path / "run"
    assert train(make_trainer(run, callbacks=[At(7, partial(send, signal.SIGTERM))], **settings)) == EXIT_STOPPED
    again = make_trainer(run, callbacks=[At(8, stop)], **settings)
    again.train()
    assert again.state.global_step == 8 and (run / "checkpoint-7").exists()  # the next step, not the first


def test_a_trainer_that_was_stopped_can_be_used_again(tmp_path):
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    trainer = make_trainer(tmp_path / "cut", callbacks=[At(6, partial(send, signal.SIGTERM))])
    assert train(trainer) == EXIT_STOPPED
    assert train(trainer, resume_from_checkpoint="auto") == 0
    assert losses(trainer) == losses(whole)


def test_behind_training_a_signal_ends_the_script_at_once(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    with pytest.raises(SystemExit) as stopped, behind_training(trainer.args):
        send(signal.SIGUSR1, None)
    assert stopped.value.code == EXIT_STOPPED
    assert make_trainer(tmp_path).train().global_step == 12  # nothing to train, and the rest of the script can be run


def test_a_signal_while_the_table_is_made_ends_the_run_with_its_code_too(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path)
    trainer.train()
    with behind_training(trainer.args):
        # the processes have parted, as a recipe lets them: nobody knows his rank
        monkeypatch.setattr(type(trainer.args), "should_save", property(lambda _: 1 / 0))
        with pytest.raises(SystemExit) as stopped:
            send(signal.SIGTERM, None)
    assert stopped.value.code == EXIT_STOPPED


def test_a_signal_before_the_first_step_leaves_nothing_and_the_command_starts_anew(tmp_path):
    class AtOnce(At):
        def on_train_begin(self, args, state, control, **kwargs):
            self.do(control)

    assert train(make_trainer(tmp_path, callbacks=[AtOnce(0, partial(send, signal.SIGTERM))])) == EXIT_STOPPED
    assert not list(tmp_path.glob("checkpoint-*"))
    assert train(make_trainer(tmp_path)) == 0


class Flaky:
    """Reads so many rows in each process that reads, and then no more."""

    def __init__(self, num_rows):
        self.num_left = num_rows

    def __call__(self, row):
        self.num_left -= 1
        if self.num_left < 0:
            raise KeyError("no such row")
        return row


@pytest.mark.parametrize("workers, num_rows", [(0, 150), (2, 80)])
def test_unreadable_data_ends_behind_a_checkpoint_that_resumes_there(tmp_path, workers, num_rows):
    stream = tiny_stream(TEXTS, num_shards=3)
    settings = {"max_steps": 30, "save_steps": 50, "shuffle_block_size": 5}
    whole = make_trainer(tmp_path / "whole", stream, **settings)
    whole.train()
    flaky = stream.map(Flaky(num_rows + 1))  # one is read to see that there is any
    cut = make_trainer(tmp_path / "cut", flaky, dataloader_num_workers=workers, **settings)
    with pytest.raises(KeyError, match="no such row") as raised:
        cut.train()
    (checkpoint,) = (tmp_path / "cut").glob("checkpoint-*")
    assert damage(checkpoint) is None and cut.state.global_step > 0
    assert raised.value.__notes__ == [f"{checkpoint} resumes there."]

    healthy = stream.map(Flaky(10**9))
    resumed = make_trainer(tmp_path / "cut", healthy, dataloader_num_workers=workers, **settings)
    resumed.train(resume_from_checkpoint="auto")
    assert losses(resumed) == losses(whole)
    assert_same_weights(resumed, whole)


def with_bad(texts, every):
    """Each `every`-th example is bad, in turn for one of several reasons."""
    bad = [None, "", " \n", 7.5, float("nan"), "x" * 400]
    rows = []
    for i, text in enumerate(texts):
        rows.append({"text": bad[i // every % len(bad)] if i % every == every - 1 else text})
    return IterableDataset.from_generator(lambda shards: (yield from shards), gen_kwargs={"shards": rows})


def test_bad_examples_are_skipped_counted_and_named(tmp_path, caplog):
    trainer = make_trainer(tmp_path, with_bad(TEXTS, 5), max_characters=200, num_readers=1, max_bad_fraction=0.5)
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert [log["data/examples"] for log in logs] == [16, 32, 48]
    assert logs[-1]["data/skipped"] > 5
    named = [record.getMessage() for record in caplog.records if "Skipped" in record.getMessage()]
    assert len(named) == len(set(named)) == 3
    assert named[0].startswith("Skipped an example of data 0. ")
    trained = [row for row in trainer.held_out() if not isinstance(row["text"], str) or not row["text"].strip()]
    assert trained == []


def test_too_many_bad_examples_stop_the_run_with_a_table_and_a_checkpoint(tmp_path):
    settings = {"stream": with_bad(TEXTS * 10, 20), "max_characters": 200, "num_readers": 1, "max_steps": 60}
    trainer = make_trainer(tmp_path, max_bad_fraction=0.01, **settings)
    with pytest.raises(ValueError, match="Too many bad examples: 1") as raised:
        trainer.train()
    message = str(raised.value)
    assert "max_bad_fraction" in message and "data 0: 1" in message
    reasons = {"missing", "empty", "NaN", "float instead of text", "longer than 200 characters"}
    assert sum(f"  {reason}\n" in message for reason in reasons) >= 3
    (checkpoint,) = sorted(tmp_path.glob("checkpoint-*"))[-1:]
    assert f"{checkpoint} resumes there" in message and damage(checkpoint) is None

    with pytest.raises(ValueError, match="Too many bad examples"):  # mending nothing mends nothing
        make_trainer(tmp_path, max_bad_fraction=0.01, **settings).train(resume_from_checkpoint="auto")
    resumed = make_trainer(tmp_path, max_bad_fraction=0.1, **settings)
    resumed.train(resume_from_checkpoint="auto")
    whole = make_trainer(tmp_path / "whole", max_bad_fraction=0.1, **settings)
    whole.train()
    assert losses(resumed) == losses(whole)
    skipped = [[log["data/skipped"] for log in one.state.log_history if "loss" in log] for one in (resumed, whole)]
    assert skipped[0] == skipped[1]  # none counted twice


def test_nothing_but_bad_examples_is_an_error_and_no_endless_search(tmp_path):
    rows = tiny_stream([None] * 100)
    with pytest.raises(ValueError, match=r"finds 0 training examples(.|\n)*50 of 50 examples skipped"):
        make_trainer(tmp_path, rows, num_readers=2).train()


def test_a_full_disk_is_a_clear_error_and_earlier_checkpoints_stay(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(control):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))

    whole = make_trainer(tmp_path / "whole")
    whole.train()
    trainer = make_trainer(tmp_path / "cut", callbacks=[At(5, fill_the_disk)])
    try:
        with pytest.raises(OSError, match=r"Cannot save .*checkpoint-6: .*GB are free.*checkpoint-3 is intact"):
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in (tmp_path / "cut").glob("checkpoint-*")) == ["checkpoint-3"]

    resumed = make_trainer(tmp_path / "cut")
    resumed.train(resume_from_checkpoint="auto")
    assert losses(resumed) == losses(whole)


def test_an_output_folder_that_cannot_be_written_to_is_an_error_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"Cannot write to .*: Not a directory. Choose another --output_dir"):
        make_trainer(tmp_path / "file" / "out")


def test_the_step_that_a_signal_interrupts_keeps_its_random_numbers(tmp_path):
    """What is fetched for the step that is not made any more must leave no trace, dropout included."""
    trainer = make_trainer(tmp_path, callbacks=[At(4, partial(send, signal.SIGTERM))])
    assert train(trainer) == EXIT_STOPPED
    state = torch.load(tmp_path / "checkpoint-4" / "rng_state.pth", weights_only=False)
    assert torch.equal(state["cpu"], torch.get_rng_state())


def test_items_are_counted_by_unit_over_micro_batches_and_lanes():
    batches = [
        {"num_items": torch.tensor(3), "num_texts": 1, "labelled": {"num_labels": torch.tensor(2), "num_items": 4}},
        {"num_items": 5, "num_texts": 2, "labelled": {"num_labels": 1, "num_items": 0}},
    ]
    assert [count_items(batches, unit) for unit in ("items", "texts", "labels")] == [12, 3, 3]
    assert count_items([], "items") == 0  # of a rank that could not read


def test_a_unit_that_a_batch_does_not_say_is_an_error():
    batches = [{"num_items": 3, "num_pairs": 1}, {"num_items": 3, "labelled": {"num_items": 1}}]
    with pytest.raises(ValueError, match=r"say in 'num_pairs' how many pairs .* it has \['num_items', 'labelled'\]"):
        count_items(batches, "pairs")


@pytest.mark.parametrize(
    "report, must_stop",
    [
        (StepReport({}, False, False, 0, 0), False),
        (StepReport({}, True, False, 0, 0), True),
        (StepReport({}, False, True, 0, 0), True),
        (StepReport({}, False, False, 10, 10), False),  # of a thousand, it would be 1 %
        (StepReport({}, False, False, 11, 10), True),
        (StepReport({}, False, False, 100, 10_000), False),
        (StepReport({}, False, False, 101, 10_000), True),
    ],
)
def test_a_step_is_not_made_behind_a_failure_a_signal_or_too_many_bad_examples(report, must_stop):
    assert report.must_stop(max_bad_fraction=0.01) is must_stop
