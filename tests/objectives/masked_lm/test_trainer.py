"""Masked language modelling: what every objective owes, and exact normalisation over the masked tokens."""

import json
from typing import ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hf_unlab.modalities.text.masking import IGNORED
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainingArguments
from hf_unlab.testing import tiny_bert, tiny_stream
from hf_unlab.training.checkpoints import STREAM_STATE_NAME, write_manifest
from tests.objectives.template import ObjectiveTemplate
from tests.training.helpers import TEXTS, At, assert_same_weights, losses, make_trainer, stop


class TestMaskedLM(ObjectiveTemplate):
    fixed: ClassVar = {"sequence_length": 8, "mask_probability": 0.2, "mask_strategy": "words", "mask_span_words": 2.0}

    def make(self, folder, callbacks=None, rows=None, **settings):
        stream = tiny_stream([row["text"] for row in rows or self.rows()], num_shards=3)
        return make_trainer(folder, stream, callbacks=callbacks, **settings)

    def rows(self):
        return [{"text": text} for text in TEXTS]


@pytest.mark.parametrize("batch_size, accumulation", [(8, 1), (2, 4), (1, 8)])
def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path, batch_size, accumulation):
    """Loss is divided by the masked tokens of the step, not of the micro-batch."""
    trainer = make_trainer(tmp_path, model=tiny_bert(), stream=tiny_stream(TEXTS), num_readers=1)
    trainer.model.eval()  # no dropout
    loader = iter(trainer.get_train_dataloader())
    examples = [next(loader) for _ in range(2)]  # eight sequences, masked once and for all
    stacked = {key: torch.cat([batch[key] for batch in examples]) for key in ("input_ids", "labels", "document_ids")}

    def micro_batches(size):
        for start in range(0, 8, size):
            batch = {key: value[start : start + size] for key, value in stacked.items()}
            yield {**batch, "num_items": (batch["labels"] != IGNORED).sum()}

    def gradient(size):
        batches = list(micro_batches(size))
        num_items = {"items": sum(batch["num_items"] for batch in batches)}
        trainer.model.zero_grad()
        for batch in batches:
            trainer.compute_loss(trainer.model, batch, num_items_in_batch=num_items).backward()
        return torch.cat(
            [parameter.grad.flatten() for parameter in trainer.model.parameters() if parameter.grad is not None]
        )

    assert 8 // batch_size == accumulation
    torch.testing.assert_close(gradient(batch_size), gradient(8), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["words", "spans"])
def test_a_run_of_another_strategy_goes_on_to_the_last_bit(tmp_path, strategy):
    whole = make_trainer(tmp_path / "whole", mask_strategy=strategy)
    whole.train()
    make_trainer(tmp_path / "cut", callbacks=[At(6, stop)], mask_strategy=strategy).train()
    second = make_trainer(tmp_path / "cut", mask_strategy=strategy)
    second.train(resume_from_checkpoint="auto")
    assert losses(second) == losses(whole)
    assert_same_weights(second, whole)
    assert second.evaluate()["eval_loss"] == whole.evaluate()["eval_loss"]
    by_token = make_trainer(tmp_path / "tokens", model=whole.model)
    assert by_token.evaluate()["eval_loss"] != whole.evaluate()["eval_loss"]


def test_a_checkpoint_from_before_a_setting_goes_on_with_its_default(tmp_path):
    make_trainer(tmp_path, callbacks=[At(6, stop)]).train()
    path = tmp_path / "checkpoint-6" / STREAM_STATE_NAME
    state = json.loads(path.read_text())
    del state["settings"]["mask_strategy"]
    path.write_text(json.dumps(state))
    write_manifest(path.parent)
    with pytest.raises(ValueError, match=r"mask_strategy='tokens' \(now 'words'\)"):
        make_trainer(tmp_path, mask_strategy="words").train(resume_from_checkpoint="auto")
    second = make_trainer(tmp_path)
    second.train(resume_from_checkpoint="auto")
    assert second.state.global_step == 12


def test_a_strategy_or_span_that_there_is_not_is_refused(tmp_path, caplog):
    with pytest.raises(ValueError, match="mask_strategy must be one of tokens, words, spans, not 'phrases'"):
        MaskedLMTrainingArguments(str(tmp_path), max_steps=1, mask_strategy="phrases")
    with pytest.raises(ValueError, match=r"mask_span_words, the mean length of spans, must lie between 1 and 5\.5"):
        MaskedLMTrainingArguments(str(tmp_path), max_steps=1, mask_strategy="spans", mask_span_words=12)
    assert "is ignored" not in caplog.text
    MaskedLMTrainingArguments(str(tmp_path), max_steps=1, mask_span_words=2)
    assert "mask_span_words=2 is ignored: mask_strategy is tokens" in caplog.text


def test_evaluation_is_exact_over_tokens(tmp_path):
    """The mean over all masked tokens, not the mean of batches; the last batch is smaller than the others."""
    trainer = make_trainer(tmp_path, model=tiny_bert())
    metrics = trainer.evaluate()
    loss_sum = num_correct = num_tokens = 0
    trainer.model.eval()
    for batch in trainer.get_eval_dataloader():
        output = trainer.compute_objective(trainer.model, batch)
        loss_sum += output.terms["masked_lm"].sum.double().item()
        num_correct += output.metrics["accuracy"][0].item()
        num_tokens += (batch["labels"] != IGNORED).sum().item()
    assert metrics["eval_loss"] == pytest.approx(loss_sum / num_tokens, rel=1e-9)
    assert metrics["eval_accuracy"] == pytest.approx(num_correct / num_tokens, rel=1e-9)
    assert metrics == {
        **trainer.evaluate(),
        **{key: metrics[key] for key in metrics if "runtime" in key or "per_second" in key},
    }


def test_a_stream_without_text_says_which_columns_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"no column 'text': its columns are \['body'\]"):
        make_trainer(tmp_path, stream=tiny_stream(TEXTS).rename_column("text", "body"))


def test_the_logged_loss_is_the_mean_over_the_tokens_of_each_step(tmp_path):
    trainer = make_trainer(tmp_path, logging_steps=1, max_steps=3, learning_rate=0.0, model=tiny_bert())
    trainer.train()
    loader = iter(make_trainer(tmp_path / "other", model=trainer.model).get_train_dataloader())
    trainer.model.eval()
    for _, loss, _ in losses(trainer):
        output = trainer.compute_objective(trainer.model, next(loader))
        assert loss == pytest.approx(
            (output.terms["masked_lm"].sum / output.terms["masked_lm"].count).item(), rel=1e-5
        )


class Waits(TorchDispatchMode):
    """Notes what makes the host wait for an accelerator: values read, and sizes that depend on values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        indices = args[1] if function is torch.ops.aten.index.Tensor else ()
        by_mask = any(index is not None and index.dtype == torch.bool for index in indices)
        if by_mask or function in (torch.ops.aten.nonzero.default, torch.ops.aten._local_scalar_dense.default):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("separate", [True, False])
def test_the_host_does_not_wait_for_the_accelerator_within_a_micro_batch(tmp_path, separate):
    trainer = make_trainer(tmp_path, separate_documents=separate)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    with Waits() as waits:
        output = trainer.compute_objective(trainer.model, batch)
        output.terms["masked_lm"].sum.backward()
    assert not waits.found
    with Waits() as waits:  # the measure finds what there is to find
        batch["labels"][batch["labels"] != IGNORED].sum().item()
    assert len(waits.found) == 2


def test_a_collator_of_one_s_own_need_not_say_the_positions(tmp_path):
    trainer = make_trainer(tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.eval()
    with_them = trainer.compute_objective(trainer.model, batch)
    del batch["positions"]
    assert torch.equal(trainer.compute_objective(trainer.model, batch).item_losses, with_them.item_losses)
