"""Worker processes know their place, outlive the signals meant for their rank, and leave its generator alone."""

import itertools
import multiprocessing
import os
import signal

import pytest
import torch

from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.sources import WeightedStream
from hf_unlab.streams.workers import in_workers, this_worker
from tests.streams.helpers import collate_ids, sharded


class Made(torch.utils.data.IterableDataset):
    """What a function says, called in the worker, a few times."""

    def __init__(self, function):
        self.function = function

    def __iter__(self):
        for _ in range(3):
            yield self.function()


@pytest.mark.parametrize("num_workers, places", [(0, [[0, 1]]), (1, [[0, 1]]), (2, [[0, 2], [1, 2]])])
def test_a_worker_knows_its_place_and_batches_come_in_turn(num_workers, places):
    assert list(in_workers(Made(this_worker), num_workers, {})) == places * 3
    assert this_worker() == (0, 1)


def test_options_of_workers_do_not_matter_without_any():
    assert len(list(in_workers(Made(this_worker), 0, {"prefetch_factor": 2, "pin_memory": False}))) == 3


def end_politely():
    os.kill(os.getpid(), signal.SIGTERM)
    return os.getpid(), os.environ.get("TOKENIZERS_PARALLELISM")


def test_a_signal_to_all_processes_does_not_end_a_worker_before_its_rank():
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    found = list(in_workers(Made(end_politely), 1, {}))
    assert len(found) == 3
    ((pid, parallelism),) = set(map(tuple, found))
    assert pid != os.getpid() and parallelism == "false" and os.environ.get("TOKENIZERS_PARALLELISM") == before


def test_workers_end_with_the_loop_that_read_from_them():
    batches = in_workers(Made(os.getpid), 2, {})
    workers = set(itertools.islice(batches, 2))
    assert workers <= {process.pid for process in multiprocessing.active_children()}
    batches.close()
    assert not workers & {process.pid for process in multiprocessing.active_children()}


def test_the_loader_leaves_the_global_generator_alone():
    plan = ReaderPlan((WeightedStream(sharded([16])),), 1, batch_size=2)
    before = torch.random.get_rng_state()
    next(iter(StreamLoader(plan, collate_ids, num_workers=1)))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture
def few_open_files():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 300), hard))
    yield resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_readers_that_need_more_open_files_than_usual_get_them_or_a_sentence(few_open_files, monkeypatch):
    plan = ReaderPlan((WeightedStream(sharded([1] * 600)), WeightedStream(sharded([1] * 600))), 200, 1)
    StreamLoader(plan, collate_ids, num_workers=10)  # 40 at a time
    assert few_open_files.getrlimit(few_open_files.RLIMIT_NOFILE)[0] == 300
    StreamLoader(plan, collate_ids)
    assert few_open_files.getrlimit(few_open_files.RLIMIT_NOFILE)[0] == 400 + 256
    monkeypatch.setattr(few_open_files, "getrlimit", lambda _: (300, 500))
    with pytest.raises(ValueError, match=r"400 files open, one for each of its readers and sources.*allows 500: take"):
        StreamLoader(plan, collate_ids)
