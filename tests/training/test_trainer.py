"""PretrainingTrainer through masked language modelling: what is held out, what is refused, precision."""

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


def test_too_few_tokens_for_one_batch_is_a_clear_error(tmp_path):
    trainer = make_trainer(tmp_path, stream=tiny_stream(TEXTS[:6]))
    with pytest.raises(ValueError, match=r"Too little data: reader \d of 4"):
        trainer.train()


def test_readers_that_workers_do_not_divide_are_refused_with_what_would_do(tmp_path):
    with pytest.raises(ValueError, match="dataloader_num_workers: 1 or 2 or 4"):
        make_trainer(tmp_path, dataloader_num_workers=3).train()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_autocast_reaches_training_and_evaluation(tmp_path, precision):
    seen = []
    trainer = make_trainer(tmp_path, precision=precision, max_steps=1, eval_strategy="steps", eval_steps=1)
    trainer.model.cls.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    trainer.train()
    assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert len(seen) > 1
