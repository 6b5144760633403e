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


def trained_on(trainer):
    """The raw examples that training may see."""
    for source in trainer.train_dataset:
        yield from (row for row in source.select(list(source.stream)) if row is not None)


def test_held_out_examples_are_written_once_and_never_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=4, validation_num_examples=15)
    trainer.train()
    held_out = [row["text"] for row in trainer.held_out()]
    assert len(held_out) == 15
    trained = {row["text"] for row in trained_on(trainer)}
    assert trained.isdisjoint(held_out) and trained < set(TEXTS)
    before = (tmp_path / "_held_out.parquet").stat().st_mtime_ns
    trainer.evaluate()
    assert (tmp_path / "_held_out.parquet").stat().st_mtime_ns == before


def test_a_new_run_in_a_folder_with_another_run_s_held_out_examples_trains_on_none_of_its_own(tmp_path):
    other = tiny_texts(400, seed=5)
    make_trainer(tmp_path, tiny_stream(other, num_shards=3), max_steps=1, save_strategy="no").evaluate()
    before = [row["text"] for row in make_trainer(tmp_path, tiny_stream(other, num_shards=3)).held_out()]
    trainer = make_trainer(tmp_path, max_steps=1, eval_strategy="steps", eval_steps=1)
    trainer.train()
    trained = {row["text"] for row in trained_on(trainer)}
    held_out = {row["text"] for row in trainer.held_out()}
    assert before and held_out < set(TEXTS) and held_out.isdisjoint(trained)


def test_data_that_only_looks_the_same_is_held_out_anew_by_a_new_run(tmp_path):
    """Its first example and its size tell nothing: the rest is other."""
    others = [TEXTS[0], *tiny_texts(399, seed=5)]
    make_trainer(tmp_path, tiny_stream(others, num_shards=3)).evaluate()
    trainer = make_trainer(tmp_path, max_steps=1)
    trainer.train()
    assert {row["text"] for row in trainer.held_out()} < set(TEXTS)


def test_a_run_that_goes_on_does_not_evaluate_on_other_data(tmp_path):
    settings = {"eval_strategy": "steps", "eval_steps": 3, "save_steps": 3}
    make_trainer(tmp_path, max_steps=3, eval_dataset=tiny_stream(tiny_texts(20, seed=9)), **settings).train()
    with pytest.raises(
        ValueError, match=r"held out otherwise: .*first example of source 1 #.* delete the file to hold out anew"
    ):
        make_trainer(tmp_path, eval_dataset=tiny_stream(tiny_texts(20, seed=8)), **settings).train("auto")
    make_trainer(tmp_path, eval_dataset=tiny_stream(tiny_texts(20, seed=9)), **settings).train("auto")


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
