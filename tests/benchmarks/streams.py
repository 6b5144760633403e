"""What the loader costs over plain iteration, how soon a resumed run reads its first batch, and in how much memory."""

import functools
import itertools
import json
import tempfile
import time
from pathlib import Path

import psutil
import torch
from accelerate import skip_first_batches
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader

from hf_unlab.modalities.text.reading import pack_texts, text_problem
from hf_unlab.objectives.masked_lm.collator import MaskedLMCollator
from hf_unlab.streams.bad_examples import Tally
from hf_unlab.streams.loader import Place, ReaderPlan, StreamLoader
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import WeightedStream
from hf_unlab.testing import tiny_texts, tiny_tokenizer
from tests.benchmarks.timing import report, seconds_each

NUM_BATCHES, BATCH_SIZE, NUM_READERS = 200, 32, 8
FAR, NUM_EXAMPLES = 1_000_000, 1_200_000


def _stream(folder, num_texts, num_words=60, num_files=8, builder="parquet"):
    folder = Path(folder)
    texts = tiny_texts(5_000, num_words=num_words)
    for number in range(num_files):
        path = folder / f"{number}.{builder}"
        many = texts * (num_texts // num_files // len(texts))
        if builder == "parquet":
            Dataset.from_dict({"text": many}).to_parquet(path, batch_size=1_000)
        else:
            path.write_text("".join(json.dumps({"text": text}) + "\n" for text in many))
    stream = load_dataset(builder, data_files=str(folder / f"*.{builder}"), split="train", streaming=True)
    return WeightedStream(spread(stream, NUM_READERS))


def overhead():
    """StreamLoader beside iterating over the same prepared streams and collating, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tiny_tokenizer()
        collate = MaskedLMCollator(tokenizer)
        prepare = functools.partial(pack_texts, tokenizer=tokenizer, length=128, seed=None)
        plan = ReaderPlan((_stream(folder, 40_000),), NUM_READERS, BATCH_SIZE, prepare, check=text_problem)

        def plain():
            passes = [plan.open_pass(reader, 0, 0, tally=Tally(text_problem)) for reader in range(NUM_READERS)]
            streams = itertools.cycle(passes)
            for k, examples in enumerate(itertools.islice(streams, NUM_BATCHES)):
                collate(list(itertools.islice(examples, BATCH_SIZE)), Place(k))

        def ours():
            for _ in itertools.islice(StreamLoader(plan, collate), NUM_BATCHES):
                pass

        times = seconds_each({"plain iteration and collating": plain, "StreamLoader": ours}, rounds=5)
    rates = {name: NUM_BATCHES * BATCH_SIZE * 128 / seconds for name, seconds in times.items()}
    report("Reading, checking, tokenising, packing, masking", rates, "tokens/s")


def _count(examples, place):
    return {"k": torch.tensor(place.k)}


def resume():
    """Seconds to the first batch at the start of a stream and far into it, stock replay, and memory on the way."""
    for builder in ("parquet", "json"):
        with tempfile.TemporaryDirectory() as folder:
            source = _stream(folder, NUM_EXAMPLES, num_words=8, builder=builder)
            _resume(ReaderPlan((source,), NUM_READERS, BATCH_SIZE), builder)


def _resume(plan, builder):
    def first_batch(state):
        start = time.perf_counter()
        loader = StreamLoader(plan, _count)
        if state:
            loader.load_state_dict(state)
        batches = iter(loader)
        for _ in range(NUM_READERS):  # one of every reader, each of which has its place to find
            next(batches)
        return time.perf_counter() - start

    first_batch(None)
    far, memory = StreamLoader(plan, _count), {}
    for k, _ in enumerate(itertools.islice(far, FAR // BATCH_SIZE), 1):
        if k * BATCH_SIZE in (FAR // 10, FAR // 2, FAR):
            memory[k * BATCH_SIZE] = psutil.Process().memory_info().rss / 2**20
    state = json.loads(json.dumps(far.state_dict()))
    times = seconds_each(
        {"at example 0": lambda: first_batch(None), f"at example {FAR:,}": lambda: first_batch(state)}, rounds=5
    )
    start = time.perf_counter()
    next(iter(skip_first_batches(DataLoader(plan.streams[0].stream, BATCH_SIZE), FAR // BATCH_SIZE)))
    times["stock Trainer's replay"] = time.perf_counter() - start

    print(f"\nFirst batch of each of {NUM_READERS} readers, {NUM_EXAMPLES:,} examples of {builder} in 8 files")
    begin = times["at example 0"]
    for name, seconds in times.items():
        print(f"  {name:<44}{seconds:>12.3f} s          x {seconds / begin:.2f}")
    print("  memory behind " + ", ".join(f"{examples:,}: {size:,.0f} MiB" for examples, size in memory.items()))
