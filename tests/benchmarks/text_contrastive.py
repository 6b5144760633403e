"""Contrastive training of a table of embeddings, beside sentence-transformers' own trainer, on one thread.

Both read the two halves of the same documents as pairs, of which the first looks for the second, with the same
tokenizer, scale, batch, optimizer and number of steps. Reading and tokenising count.
"""

import io
import os
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from unittest import mock

import torch
from datasets import Dataset
from transformers import TrainerCallback

from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.modalities.text.words import train_word_tokenizer
from hf_unlab.objectives.text_contrastive.arguments import TextContrastiveTrainingArguments
from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainer
from hf_unlab.streams.sources import Source, iterate, open_stream
from tests.benchmarks.timing import report, seconds_each

NUM_DOCUMENTS, BATCH, NUM_PASSES, ROUNDS = 12_000, 256, 6, 2
NUM_STEPS = NUM_PASSES * NUM_DOCUMENTS // BATCH
NUM_FEATURES, TEMPERATURE = 256, 0.2
COMMON = {
    "max_steps": NUM_STEPS,
    "per_device_train_batch_size": BATCH,
    "learning_rate": 5e-3,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "logging_steps": 50,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
}
PARTS = ("data", "forward", "backward", "optimizer")


class Parts(TrainerCallback):
    """Seconds of a trainer's run, by its parts: reading and tokenising, forward, backward, the optimizer."""

    def __init__(self, trainer):
        self.seconds, self._start = defaultdict(float), 0.0
        trainer.get_batch_samples = self._timed("data", trainer.get_batch_samples)
        trainer.compute_loss = self._timed("forward", trainer.compute_loss)
        trainer.accelerator.backward = self._timed("backward", trainer.accelerator.backward)
        trainer.add_callback(self)

    def _timed(self, part, function):
        def run(*args, **kwargs):
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self.seconds[part] += time.perf_counter() - start
            return result

        return run

    def on_pre_optimizer_step(self, *_, **__):
        self._start = time.perf_counter()

    def on_optimizer_step(self, *_, **__):
        self.seconds["optimizer"] += time.perf_counter() - self._start


def _texts():
    stream = open_stream(Source("builtin:docstrings"), ["text"])
    return [row["text"] for row in iterate(stream.take(NUM_DOCUMENTS))]


def _pairs(texts):
    """Halves by words, as both trainers read them."""
    words = [text.split() for text in texts]
    halves = [(each[: len(each) // 2], each[len(each) // 2 :]) for each in words if len(each) > 1]
    return Dataset.from_list([{"anchor": " ".join(one), "positive": " ".join(other)} for one, other in halves])


def _ours(pairs, tokenizer, folder):
    """Looks one way and cuts no text, as theirs does."""
    args = TextContrastiveTrainingArguments(
        folder, **COMMON, max_passes=None, is_symmetric=False, max_view_tokens=100_000, num_readers=2, precision="fp32"
    )
    torch.manual_seed(0)
    model, data = StaticModel(tokenizer, num_features=NUM_FEATURES), pairs.to_iterable_dataset(num_shards=2)
    return TextContrastiveTrainer(model, args, data, columns=("anchor", "positive"))


def _theirs(pairs, tokenizer, folder):
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(0)
    table = StaticModel(tokenizer, num_features=NUM_FEATURES).embedding.weight.detach()
    module = StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=table)
    model = SentenceTransformer(modules=[module], device="cpu")
    loss = MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    args = SentenceTransformerTrainingArguments(folder, **COMMON)
    return SentenceTransformerTrainer(model, args, train_dataset=pairs, loss=loss)


@contextmanager
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with mock.patch.dict(os.environ, {"TOKENIZERS_PARALLELISM": "false"}):
            yield
    finally:
        torch.set_num_threads(threads)


def training():
    """Documents a second of a whole run, and where its time goes."""
    texts = _texts()
    tokenizer, pairs = train_word_tokenizer(texts), _pairs(texts)
    parts = {}

    def timed(name, make):
        def run():
            quiet = io.StringIO()
            with tempfile.TemporaryDirectory() as folder, redirect_stdout(quiet), redirect_stderr(quiet):
                trainer = make(pairs, tokenizer, folder)
                parts[name] = Parts(trainer).seconds
                trainer.train()
            assert trainer.state.global_step == NUM_STEPS

        return run

    twins = {"sentence-transformers' trainer": _theirs, "TextContrastiveTrainer": _ours}
    with _one_thread():
        times = seconds_each({name: timed(name, make) for name, make in twins.items()}, ROUNDS, warm_up=False)
    rates = {name: NUM_STEPS * BATCH / seconds for name, seconds in times.items()}
    report(f"Contrastive training of a table, {NUM_STEPS} steps of {BATCH} pairs", rates, "docs/s")
    for name, seconds in times.items():
        shown = ", ".join(f"{part} {1000 * parts[name][part] / NUM_STEPS:.0f}" for part in PARTS)
        print(f"  {name:<44}{1000 * seconds / NUM_STEPS:>12,.0f} ms a step   of the last run: {shown}")
