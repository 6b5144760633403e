"""PretrainingTrainer through masked language modelling: what is refused, precision."""

import pytest
import torch
from datasets import Dataset

from hf_unlab.testing import tiny_stream
from tests.training.helpers import TEXTS, make_trainer


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


def test_epochs_of_what_is_packed_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"packed, so that no number of them is an epoch\. Give max_steps"):
        make_trainer(tmp_path, Dataset.from_dict({"text": TEXTS}), max_steps=10_000, num_train_epochs=1)
