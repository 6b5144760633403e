"""What the logs say of each source, and of the examples that were skipped."""

import logging

import pytest
import torch

from hf_unlab.streams.bad_examples import Tally
from hf_unlab.streams.progress import SourceProgress
from hf_unlab.training.data_log import BadExampleLog, losses_by_source, progress_logs
from hf_unlab.training.metrics import MetricSums


def progress(name, num_bad=0, num_examples=10, num_epochs=0):
    tally = Tally(lambda example: "empty")
    for index in range(num_bad):
        tally.accepts({"text": f"{name} {index}"}, index)
    return SourceProgress(name, num_examples, num_epochs, tally)


def test_a_sole_source_has_no_name_and_several_have_theirs():
    assert progress_logs([progress("web", num_epochs=3)], num_readers=2) == {"data/examples": 10, "data/epochs": 1.5}
    assert progress_logs([progress("web", num_bad=2), progress("books")], num_readers=4) == {
        "data/web/examples": 10,
        "data/web/epochs": 0,
        "data/web/skipped": 2,
        "data/books/examples": 10,
        "data/books/epochs": 0,
    }


@pytest.mark.parametrize("seed", range(3))
def test_losses_of_sources_against_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    losses_N = torch.rand(50, generator=generator, requires_grad=True)
    rows_N = torch.randint(6, (50,), generator=generator)
    sources_B = torch.randint(3, (6,), generator=generator)
    pairs = losses_by_source(losses_N, rows_N, sources_B, names := ["a", "b", "c"])
    for number, name in enumerate(names):
        own = [loss.item() for loss, row in zip(losses_N, rows_N, strict=True) if sources_B[row].item() == number]
        total, count = pairs[f"data/{name}/loss"]
        assert count == len(own) and not total.requires_grad
        assert total.item() == pytest.approx(sum(own))


def test_a_source_without_items_has_no_loss():
    sums = MetricSums(torch.device("cpu"))
    sums.add(losses_by_source(torch.ones(2), torch.tensor([0, 1]), torch.tensor([0, 0]), ["a", "labelled: b"]))
    assert sums.means() == {"data/a/loss": 1.0}


def test_a_few_bad_examples_of_each_source_are_named_once(caplog):
    caplog.set_level(logging.WARNING)
    log = BadExampleLog(num_named=2)
    for _ in range(2):
        log.tell([progress("web", num_bad=5), progress("books", num_bad=1)])
    assert [record.getMessage() for record in caplog.records] == [
        "Skipped an example of web. empty: {'text': 'web 0'}",
        "Skipped an example of web. empty: {'text': 'web 1'}",
        "Skipped an example of books. empty: {'text': 'books 0'}",
    ]
