"""What the loader costs over plain iteration, and how soon a resumed run reads its first batch."""

import functools
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import Dataset, load_dataset

from hf_unlab.data.collators import MaskedLMCollator
from hf_unlab.data.loader import StreamLoader
from hf_unlab.data.readers import ReaderPlan, iterate
from hf_unlab.data.sources import WeightedStream
from hf_unlab.data.text import pack_sequences, tokenise
from hf_unlab.testing import tiny_texts, tiny_tokenizer
from tests.benchmarks.timing import report, seconds_each

NUM_BATCHES, BATCH_SIZE = 100, 32


def _corpus(folder, num_texts):
    path = Path(folder) / "corpus.parquet"
    texts = tiny_texts(5_000, num_words=60)
    Dataset.from_dict({"text": texts * (num_texts // len(texts))}).to_parquet(path, batch_size=1_000)
    return load_dataset("parquet", data_files=str(path), split="train", streaming=True)


def _prepare(stream, tokenizer):
    return pack_sequences(tokenise(stream, tokenizer), 128)


def overhead():
    """StreamLoader beside iterating over the same prepared streams and collating, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tiny_tokenizer()
        collate = MaskedLMCollator(tokenizer)
        stream = WeightedStream(_corpus(folder, 40_000))
        plan = ReaderPlan((stream,), 8, BATCH_SIZE, functools.partial(_prepare, tokenizer=tokenizer))

        def plain():
            streams = itertools.cycle([iterate(plan.open_epoch(reader, 0)) for reader in range(8)])
            for k, examples in enumerate(itertools.islice(streams, NUM_BATCHES)):
                collate(list(itertools.islice(examples, BATCH_SIZE)), k)

        def ours():
            for _ in itertools.islice(StreamLoader(plan, collate), NUM_BATCHES):
                pass

        times = seconds_each({"plain iteration and collating": plain, "StreamLoader": ours}, rounds=3)
    rates = {name: NUM_BATCHES * BATCH_SIZE * 128 / seconds for name, seconds in times.items()}
    report("Reading, tokenising, packing, masking", rates, "tokens/s")


def resume():
    """Seconds to the first batch at the start of a stream and far into it."""
    with tempfile.TemporaryDirectory() as folder:
        plan = ReaderPlan((WeightedStream(_corpus(folder, 200_000)),), 1, BATCH_SIZE)
        far = StreamLoader(plan, lambda examples, k: {"k": np.array(k)})
        batches = iter(far)
        for _ in range(190_000 // BATCH_SIZE):
            next(batches)
        states = {"at example 0": None, "at example 190,000": far.state_dict()}
        print("\nTime to the first batch")
        for name, state in states.items():
            loader = StreamLoader(plan, lambda examples, k: {"k": np.array(k)})
            start = time.perf_counter()
            if state:
                loader.load_state_dict(state)
            next(iter(loader))
            print(f"  {name:<44}{time.perf_counter() - start:>12.3f} s")
