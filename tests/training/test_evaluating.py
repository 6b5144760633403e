"""What is held out and measured, through masked language modelling; and any other data that is given."""

import pytest
import torch

from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer
from hf_unlab.testing import tiny_stream, tiny_texts
from hf_unlab.training.objective import Term
from tests.training.helpers import TEXTS, make_trainer


def test_held_out_examples_are_written_once_and_never_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=4, validation_num_examples=15)
    trainer.train()
    held_out = [row["text"] for row in trainer.held_out()]
    assert len(held_out) == 15
    trained = {row["text"] for source in trainer.train_dataset for row in source.stream}
    assert trained.isdisjoint(held_out)
    assert trained < set(TEXTS)
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
