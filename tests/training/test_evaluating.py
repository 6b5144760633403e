"""What is held out and measured, through masked language modelling; and any other data that is given."""

import math
from typing import ClassVar

import pytest
import torch
from datasets import Dataset, Value

from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer
from hf_unlab.testing import tiny_bert, tiny_stream, tiny_texts
from hf_unlab.training.objective import Term
from tests.training.helpers import TEXTS, make_trainer


def test_held_out_examples_are_written_once_and_never_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=4, validation_num_examples=15)
    trainer.train()
    held_out = [row["text"] for row in trainer.held_out()]
    assert len(held_out) == 15
    kept = [row for source in trainer.train_dataset for row in source.select(list(source.stream)) if row is not None]
    assert {row["text"] for row in kept}.isdisjoint(held_out)
    assert {row["text"] for row in kept} < set(TEXTS)
    before = (tmp_path / "held_out.parquet").stat().st_mtime_ns
    trainer.evaluate()
    assert (tmp_path / "held_out.parquet").stat().st_mtime_ns == before


def test_own_evaluation_data_leaves_all_else_to_training(tmp_path):
    trainer = make_trainer(tmp_path, eval_dataset=tiny_stream(tiny_texts(20, seed=9)))
    assert "eval_loss" in trainer.evaluate()
    assert sum(1 for source in trainer.train_dataset for _ in source.stream) == len(TEXTS)


def test_nothing_held_out_says_what_to_raise(tmp_path):
    trainer = make_trainer(tmp_path, validation_fraction=1e-6)
    with pytest.raises(ValueError, match="validation_fraction"):
        trainer.evaluate()


def test_a_held_out_part_in_which_nothing_counts_has_no_loss(tmp_path):
    class NothingCounts(MaskedLMTrainer):
        def compute_objective(self, model, batch):
            output = super().compute_objective(model, batch)
            output.terms = {"masked_lm": Term(torch.zeros(()), 0)}
            return output

    with pytest.raises(ValueError, match="too little to evaluate on"):
        make_trainer(tmp_path, kind=NothingCounts).evaluate()


def test_several_data_are_measured_together(tmp_path):
    trainer = make_trainer(tmp_path, sequence_length=8)
    one, other = tiny_texts(20, seed=8), tiny_texts(12, seed=9)
    mixed = [tiny_stream(one), Dataset.from_dict({"text": other}).cast_column("text", Value("large_string"))]
    together = trainer.evaluate(tiny_stream(one + other))
    measured = trainer.evaluate(mixed)
    for name in ("eval_loss", "eval_accuracy", "eval_unigram_entropy"):
        assert measured[name] == together[name], name


def test_data_with_names_are_measured_apart(tmp_path):
    trainer = make_trainer(tmp_path)
    one, other = tiny_stream(tiny_texts(20, seed=8)), Dataset.from_dict({"text": tiny_texts(12, seed=9)})
    metrics = trainer.evaluate({"one": one, "both": [one, other]}, metric_key_prefix="test")
    assert metrics["test_one_loss"] == trainer.evaluate(one)["eval_loss"]
    assert metrics["test_both_loss"] == trainer.evaluate([one, other])["eval_loss"] != metrics["test_one_loss"]


def test_names_are_no_held_out_part(tmp_path):
    with pytest.raises(ValueError, match=r"trainer\.evaluate\(\{name: data\}\)"):
        make_trainer(tmp_path, eval_dataset={"one": tiny_stream(TEXTS)})


def test_the_unigram_entropy_is_that_of_what_is_measured(tmp_path):
    trainer = make_trainer(tmp_path, sequence_length=8)
    held_out = trainer.evaluate()["eval_unigram_entropy"]
    assert trainer.evaluate(tiny_stream([TEXTS[0]] * 30))["eval_unigram_entropy"] < held_out
    assert trainer.evaluate()["eval_unigram_entropy"] == held_out


def test_a_diverged_run_is_measured_too(tmp_path):
    trainer = make_trainer(tmp_path, sequence_length=8)
    with torch.no_grad():
        trainer.model.get_output_embeddings().bias.mul_(0).add_(torch.arange(trainer.model.config.vocab_size) * 1e3)
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] > 710 and metrics["eval_perplexity"] == math.inf


def test_there_is_nothing_to_predict(tmp_path):
    with pytest.raises(ValueError, match=r"evaluate\(data, metric_key_prefix='test'\)"):
        make_trainer(tmp_path).predict(tiny_stream(TEXTS))


def test_an_optimizer_that_averages_weights_is_told_of_an_evaluation(tmp_path):
    class ScheduleFree(torch.optim.SGD):
        modes: ClassVar[list] = []

        def train(self):
            self.modes.append("train")

        def eval(self):
            self.modes.append("eval")

    model = tiny_bert()
    trainer = make_trainer(
        tmp_path, model=model, optimizers=(ScheduleFree(model.parameters(), lr=0.1), None), max_steps=2,
        eval_strategy="steps", eval_steps=1,
    )  # fmt: skip
    trainer.train()
    assert ScheduleFree.modes == ["train", "eval"] * 2
