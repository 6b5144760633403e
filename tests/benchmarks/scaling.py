"""What grows with the block, and what with readers, sources and files: one process stands for all ranks."""

import functools
import gc
import itertools
import json
import os
import pickle
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

import torch
from datasets import IterableDataset, load_dataset

from hf_unlab.modalities.text.reading import pack_texts, text_problem
from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.progress import progress_of
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import WeightedStream
from hf_unlab.testing import tiny_texts, tiny_tokenizer
from tests.benchmarks.timing import seconds_each

NUM_READERS, NUM_SOURCES, BLOCK_SIZE, NUM_WORDS = (8, 64, 1024), 2, 50, 30


def _texts(number, num_words):
    texts = tiny_texts(500, num_words=num_words)
    yield from ({"text": text} for text in itertools.islice(itertools.cycle(texts), number))


def block():
    """Seconds a row of a block of 10,000 texts beside one of 1,000: 1.0 where the cost is linear."""
    prepare = functools.partial(pack_texts, tokenizer=tiny_tokenizer(), length=128, seed=0)
    stream = IterableDataset.from_generator(_texts, gen_kwargs={"number": 10_000, "num_words": 30})

    def read(block_size):
        plan = ReaderPlan((WeightedStream(stream),), 1, 1, prepare, block_size=block_size, check=text_problem)
        for _ in plan.open_pass(0, 0, 0):
            pass

    times = seconds_each({"blocks of 1,000": lambda: read(1_000), "blocks of 10,000": lambda: read(10_000)}, rounds=3)
    print("\nReading, checking, tokenising and packing 10,000 texts")
    for name, seconds in times.items():
        print(f"  {name:<44}{seconds:>12.3f} s          x {seconds / times['blocks of 1,000']:.2f}")


def _count(examples, place):
    return {"k": torch.tensor(place.k)}


def readers():
    """State, memory and open files behind a batch of every reader, and how often files are opened in an epoch."""
    print(f"\n{NUM_SOURCES} sources of json files, blocks of {BLOCK_SIZE} texts of {NUM_WORDS} words")
    print(f"  {'readers':>8}{'state':>12}{'told at a log':>16}{'memory a reader':>18}{'open files':>12}")
    for num_readers in NUM_READERS:
        with tempfile.TemporaryDirectory() as folder:
            _of_readers(Path(folder), num_readers)
    for num_files in (100, 1_000):
        print(f"\n  openings of {num_files:,} files in an epoch")
        for num_readers in NUM_READERS:
            print(f"  {num_readers:>8} readers{_openings(num_files, num_readers):>12,}")


def _of_readers(folder, num_readers):
    streams = []
    for source in range(NUM_SOURCES):
        rows = [json.dumps(row) for row in _texts(BLOCK_SIZE + 10, NUM_WORDS)]
        for number in range(num_readers):
            (folder / f"{source}-{number}.jsonl").write_text("\n".join(rows) + "\n")
        stream = load_dataset("json", data_files=str(folder / f"{source}-*.jsonl"), split="train", streaming=True)
        streams.append(WeightedStream(spread(stream, num_readers), name=f"source {source}"))
    prepare = functools.partial(pack_texts, tokenizer=tiny_tokenizer(), length=128, seed=0)
    plan = ReaderPlan(tuple(streams), num_readers, 8, prepare, block_size=BLOCK_SIZE, check=text_problem)
    gc.collect()
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    tracemalloc.start()
    loader = StreamLoader(plan, _count)
    batches = iter(loader)
    for _ in range(num_readers):
        next(batches)
    memory = tracemalloc.get_traced_memory()[0] / num_readers / NUM_SOURCES
    tracemalloc.stop()
    files = len(os.listdir("/proc/self/fd")) - before if before else 0
    state = loader.state_dict()
    told = len(pickle.dumps(progress_of(state, [stream.name for stream in streams])))
    size = len(json.dumps(state))
    print(f"  {num_readers:>8}{size / 1e3:>9,.0f} kB{told:>14,} B{memory / 1e3:>15,.0f} kB{files:>12,}")


def _openings(num_files, num_readers):
    opened: Counter[int] = Counter()

    def rows(shards):
        for number in shards:
            opened[number] += 1
            yield from ({"id": i} for i in range(4))

    stream = IterableDataset.from_generator(rows, gen_kwargs={"shards": list(range(num_files))})
    plan = ReaderPlan((WeightedStream(spread(stream, num_readers)),), num_readers, 1)
    opened.clear()
    for number in range(num_readers):
        for _ in plan.open_pass(number, 0, 0):
            pass
    return opened.total()
