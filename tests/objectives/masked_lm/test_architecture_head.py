"""The head at masked positions alone gives the loss and the gradients of the stock model."""

import pytest
import torch
from transformers import BertConfig, BertModel

from hf_unlab.losses.masked_lm import masked_lm_losses
from hf_unlab.modalities.text.masking import IGNORED
from hf_unlab.objectives.masked_lm.architecture import head_at

B, T, VOCAB_SIZE = 3, 12, 60
ARCHITECTURES = ["bert", "roberta", "distilbert", "electra", "albert", "mpnet", "deberta-v2"]
ARCHITECTURES += ["modernbert", "modernbert-sliding"]


@pytest.fixture(params=ARCHITECTURES)
def model(request, tiny_model):
    return tiny_model(request.param)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(5, VOCAB_SIZE, (B, T), generator=generator)
    labels = torch.where(torch.rand((B, T), generator=generator) < 0.4, input_ids, IGNORED)
    labels[1] = IGNORED  # a sequence with nothing masked
    return input_ids, labels


def loss_at(model, input_ids, labels, **options):
    chosen = labels != IGNORED
    with head_at(model, chosen):
        output = model(input_ids, **options)
    logits = output[0]
    assert logits.shape == (1, chosen.sum(), VOCAB_SIZE)
    return masked_lm_losses(logits[0], labels[chosen]).sum() / chosen.sum()


def gradients_of(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_loss_and_every_gradient_equal_the_stock_ones(model, batch):
    input_ids, labels = batch
    stock_loss = model(input_ids, labels=labels).loss
    stock = gradients_of(model, stock_loss)
    loss = loss_at(model, input_ids, labels)
    own = gradients_of(model, loss)
    torch.testing.assert_close(loss, stock_loss, atol=1e-6, rtol=1e-6)
    assert {name for name, grad in own.items() if grad is None} == {
        name for name, grad in stock.items() if grad is None
    }
    assert sum(grad is not None and grad.abs().max() > 0 for grad in stock.values()) > 10
    for name, grad in stock.items():
        if grad is not None:
            torch.testing.assert_close(
                own[name], grad, atol=1e-6, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
            )


def test_a_tuple_is_understood_too(model, batch):
    input_ids, labels = batch
    expected = loss_at(model, input_ids, labels)
    torch.testing.assert_close(loss_at(model, input_ids, labels, return_dict=False), expected)


def test_afterwards_the_model_is_as_it_was_even_if_the_forward_failed(model, batch):
    input_ids, labels = batch
    with pytest.raises(IndexError), head_at(model, labels != IGNORED):  # no such token
        model(input_ids + VOCAB_SIZE)
    with head_at(model, labels != IGNORED):
        pass
    assert not model.base_model._forward_hooks
    assert model(input_ids).logits.shape == (B, T, VOCAB_SIZE)


def test_nothing_masked_gives_a_loss_of_zero_and_gradients_of_zero(model, batch):
    input_ids, _ = batch
    with head_at(model, torch.zeros(B, T, dtype=torch.bool)):
        logits = model(input_ids).logits
    assert logits.shape == (1, 0, VOCAB_SIZE)
    loss = masked_lm_losses(logits[0], torch.zeros(0, dtype=torch.long)).sum()
    assert loss == 0
    assert all(grad is None or (grad == 0).all() for grad in gradients_of(model, loss).values())


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")  # its newer name is not in 5.17
def test_gradient_checkpointing_changes_nothing(model, batch):
    if not model.supports_gradient_checkpointing:
        pytest.skip("the architecture has none")
    model.train()  # checkpointing needs it; the tiny models have no dropout
    expected = gradients_of(model, loss_at(model, *batch))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    checkpointed = gradients_of(model, loss_at(model, *batch))
    for name, grad in expected.items():
        if grad is not None:
            torch.testing.assert_close(checkpointed[name], grad, atol=1e-6, rtol=1e-5)


def test_a_model_without_a_head_is_refused():
    model = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(ValueError, match="BertModel has no head over a base model"), head_at(model, None):
        pass
