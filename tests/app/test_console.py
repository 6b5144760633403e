"""What people see when a run ends early."""

import logging
from types import SimpleNamespace

import datasets
import pytest
import torch
from transformers.utils import logging as transformers_logging

from hf_unlab.app import progress
from hf_unlab.app.console import ProgressLines, exit_cleanly, format_sources, quiet_libraries
from hf_unlab.streams.network import NetworkError
from hf_unlab.streams.readers import SourceReader
from hf_unlab.streams.sources import Source
from hf_unlab.training.checkpoints import whole_or_absent


@pytest.mark.parametrize("bars", [True, False])
def test_what_was_made_quiet_is_put_back(bars, monkeypatch):
    monkeypatch.setattr(transformers_logging, "_tqdm_active", bars)
    (datasets.enable_progress_bars if bars else datasets.disable_progress_bars)()

    def of_handlers():
        return [(handler, handler.formatter) for handler in logging.getLogger().handlers]

    def of_libraries():
        bars = transformers_logging.is_progress_bar_enabled(), not datasets.are_progress_bars_disabled()
        return (*bars, transformers_logging.get_verbosity(), datasets.logging.get_verbosity())

    shown = of_libraries()

    before = of_handlers()
    with quiet_libraries():
        assert before
        assert of_handlers() != before
        assert of_libraries() == (False, False, logging.ERROR, logging.ERROR)
    assert of_handlers() == before
    assert of_libraries() == shown
    datasets.disable_progress_bars()  # as in all tests


class Failing(torch.utils.data.IterableDataset):
    def __init__(self, fail):
        self.fail = fail

    def __iter__(self):
        yield self.fail()


def unreadable():
    from hf_unlab.streams.network import with_retries

    def read():
        raise ConnectionResetError("connection reset")

    return with_retries(read, lambda: None, reader="reader 3 of 8", retries=0)


def too_little():
    from datasets import Dataset

    from hf_unlab.streams.bad_examples import Tally
    from hf_unlab.streams.blocks import BlockFunction, Blocks

    tally = Tally(lambda example: "empty")
    stream = Dataset.from_dict({"text": [""]}).to_iterable_dataset()
    reader = SourceReader(
        lambda epoch, state: Blocks(stream, BlockFunction(keep=tally.accepts), 4, state), tally, source="web"
    )
    return reader.next_examples(1)


def in_worker(fail):
    return next(iter(torch.utils.data.DataLoader(Failing(fail), batch_size=None, num_workers=1)))


@pytest.mark.parametrize("run", [lambda fail: fail(), in_worker], ids=["in the process", "in a worker"])
@pytest.mark.parametrize(
    "fail, code, message",
    [
        (unreadable, 1, "Cannot read a remote file for reader 3 of 8: connection reset."),
        (lambda: Source(""), 2, "A source needs a path"),
        (too_little, 2, "Too little data: reader 0 of 1"),
    ],
    ids=["network", "mistake", "data"],
)
def test_what_users_can_mend_ends_in_its_message_and_a_code(capsys, run, fail, code, message):
    with pytest.raises(SystemExit) as stopped, exit_cleanly():
        run(fail)
    assert stopped.value.code == code
    error = capsys.readouterr().err
    assert f": error: {message}" in error and "Traceback" not in error
    if fail is too_little:  # a table on lines of its own
        assert "web: 1 of 1 examples skipped (100.00%)\n           1  empty" in error


def unreadable_but_saved():
    try:
        unreadable()
    except NetworkError as error:
        error.add_note("checkpoint-7 resumes there.")
        raise


def test_notes_are_shown_too(capsys):
    with pytest.raises(SystemExit), exit_cleanly():
        unreadable_but_saved()
    assert capsys.readouterr().err.endswith("connection reset. checkpoint-7 resumes there.\n")


def test_a_checkpoint_that_cannot_be_saved_is_no_traceback(capsys, tmp_path):
    with (
        pytest.raises(SystemExit) as stopped,
        exit_cleanly(),
        whole_or_absent(tmp_path / "checkpoint-2", is_writer=True),
    ):
        raise OSError(28, "No space left on device")
    assert stopped.value.code == 1
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a bug"), KeyError("a bug")])
def test_errors_that_are_not_ours_keep_their_traceback(error):
    with pytest.raises(type(error), match="a bug"), exit_cleanly():
        raise error


def test_a_line_for_each_source_fits_the_screen():
    name = "json:/a/very/long/path/of/files/unlabelled-*.jsonl"
    logs = {f"data/{name}/{key}": 123456 for key in ("loss", "examples", "epochs", "skipped")}
    (line,) = format_sources({**logs, "loss": 1.0, "data/epochs": 0.5})
    assert "les/unlabelled-*.jsonl: loss" in line and "123,456 skipped" in line and "/very/long" not in line


def test_slow_steps_say_how_far_they_are(monkeypatch, capsys):
    clock = [0.0]
    # of this module alone: by a clock that stands still, a worker of another test would be waited for without end
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    lines = ProgressLines(SimpleNamespace(leading_metrics=(), metric_lines={}))
    args, state = SimpleNamespace(disable_tqdm=True), SimpleNamespace(global_step=0, max_steps=1000)
    lines.on_train_begin(args, state, None)
    for step in range(1, 9):
        clock[0], state.global_step = 10.0 * step, step
        if step == 5:
            lines.on_log(args, state, None, {"loss": 2.0})
        lines.on_step_end(args, state, None)
    lines.on_train_end(args, state, None)
    assert capsys.readouterr().out.splitlines() == [
        *("step      2 of 1,000", "step      4 of 1,000", "step      5  loss 2.000", "step      7 of 1,000"),
    ]
