"""In a packed sequence each document has the hidden states that it has alone."""

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, ModernBertConfig

from hf_unlab.objectives.masked_lm.architecture import document_mask, keeps_documents_apart

VOCAB_SIZE = 60
# Nothing in them depends on where a document starts.
ROTARY = ["modernbert", "modernbert-sliding", "modernvbert-sliding"]
ABSOLUTE = ["bert", "roberta", "distilbert", "electra", "albert"]
SIZES = (14, 9, 1, 16)  # longer than the sliding window of 3 to each side
BOUNDS = [(0, 14), (14, 23), (23, 24), (24, 40)]


@pytest.fixture(params=["sdpa", "eager"])
def attention(request):
    return request.param


@pytest.fixture
def input_ids():
    return torch.randint(5, VOCAB_SIZE, (2, sum(SIZES)), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def document_ids():
    one = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    return torch.stack([one, one])


@torch.no_grad()
def hidden_states(model, input_ids, mask=None):
    return model.base_model(input_ids=input_ids, attention_mask=mask).last_hidden_state


def assert_same(actual, expected):
    assert expected.std() > 0.1  # so that the tolerance means something
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ABSOLUTE + ROTARY)
def test_the_first_document_is_as_if_alone(tiny_model, architecture, attention, input_ids, document_ids):
    model = tiny_model(architecture, attention)
    packed = hidden_states(model, input_ids, document_mask(model, document_ids))
    assert_same(packed[:, : SIZES[0]], hidden_states(model, input_ids[:, : SIZES[0]]))
    leaking = hidden_states(model, input_ids)
    assert (leaking - packed)[:, : SIZES[0]].abs().max() > 1e-2  # without the mask it would not be


@pytest.mark.parametrize("architecture", ROTARY)
def test_every_document_is_as_if_alone_where_positions_are_relative(
    tiny_model, architecture, attention, input_ids, document_ids
):
    model = tiny_model(architecture, attention)
    packed = hidden_states(model, input_ids, document_mask(model, document_ids))
    for start, end in BOUNDS:
        assert_same(packed[:, start:end], hidden_states(model, input_ids[:, start:end]))


@pytest.mark.parametrize("architecture", ABSOLUTE)
def test_later_documents_do_not_see_the_others(tiny_model, architecture, attention, input_ids, document_ids):
    model = tiny_model(architecture, attention)
    mask = document_mask(model, document_ids)
    packed = hidden_states(model, input_ids, mask)
    for start, end in BOUNDS:
        changed = (input_ids - 4) % (VOCAB_SIZE - 5) + 5  # no special token: RoBERTa counts positions by them
        changed[:, start:end] = input_ids[:, start:end]
        assert_same(hidden_states(model, changed, mask)[:, start:end], packed[:, start:end])


@pytest.mark.parametrize("architecture", ABSOLUTE + ROTARY)
def test_one_single_document_needs_no_mask(tiny_model, architecture, attention, input_ids):
    model = tiny_model(architecture, attention)
    mask = document_mask(model, torch.zeros_like(input_ids))
    assert_same(hidden_states(model, input_ids, mask), hidden_states(model, input_ids))


@pytest.mark.parametrize("architecture", ROTARY[1:])
def test_the_sliding_window_bites_in_these_tests(tiny_model, architecture, input_ids):
    model = tiny_model(architecture)
    mask = document_mask(model, torch.zeros_like(input_ids))
    wide = {**mask, "sliding_attention": mask["full_attention"]}
    assert (hidden_states(model, input_ids, wide) - hidden_states(model, input_ids)).abs().max() > 1e-2


def test_logits_are_those_of_documents_alone_with_modernberts_own_window(attention):
    """Of 64 tokens to each side and a full layer in every three, over documents that are longer than all of it."""
    sizes = (300, 1, 40, 171)
    config = ModernBertConfig(
        vocab_size=VOCAB_SIZE, hidden_size=32, num_hidden_layers=6, num_attention_heads=2, intermediate_size=48,
        initializer_range=0.1, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config, attn_implementation=attention).eval()
    assert config.sliding_window == 64 and config.layer_types[:3] == ["full_attention", *["sliding_attention"] * 2]
    input_ids = torch.randint(5, VOCAB_SIZE, (1, sum(sizes)))
    document_ids = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))[None]
    with torch.no_grad():
        packed = model(input_ids=input_ids, attention_mask=document_mask(model, document_ids)).logits
        alone = [model(input_ids=ids).logits for ids in input_ids.split(sizes, dim=1)]
    assert packed.std() > 0.1
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), atol=1e-5, rtol=0)


def test_rows_of_a_batch_have_their_own_documents(tiny_model, attention, input_ids):
    model = tiny_model("modernbert", attention)
    document_ids = torch.zeros_like(input_ids)
    document_ids[0, 25:] = 1
    packed = hidden_states(model, input_ids, document_mask(model, document_ids))
    assert_same(packed[:1, :25], hidden_states(model, input_ids[:1, :25]))
    assert_same(packed[1:], hidden_states(model, input_ids[1:]))


@pytest.mark.parametrize("architecture", ABSOLUTE + ROTARY)
def test_trying_finds_that_documents_are_kept_apart(tiny_model, architecture, attention):
    assert keeps_documents_apart(tiny_model(architecture, attention)) is True


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["bert", "modernbert-sliding"])
def test_half_precision_weights_are_fine(tiny_model, architecture, attention, dtype):
    assert keeps_documents_apart(tiny_model(architecture, attention).to(dtype)) is True


class IgnoresItsMask(BertForMaskedLM):
    """A model that takes any mask and looks at everything."""

    def __init__(self, config):
        super().__init__(config)
        forward = self.bert.forward
        self.bert.forward = lambda input_ids, attention_mask: forward(input_ids=input_ids)


def test_trying_finds_that_documents_are_not_kept_apart(tiny_model):
    assert keeps_documents_apart(tiny_model("deberta-v2")) is False
    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
    )
    assert keeps_documents_apart(IgnoresItsMask(config)) is False


@pytest.mark.parametrize("autocast", [False, True])
def test_trying_finds_that_a_window_is_put_out_of_force(tiny_model, attention, autocast, monkeypatch):
    """Nothing leaks then, but it is not the model that reads a document alone."""
    model = tiny_model("modernbert-sliding", attention)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert keeps_documents_apart(model, 40) is True
        monkeypatch.setattr(
            "hf_unlab.objectives.masked_lm.architecture.document_mask",
            lambda *given: document_mask(*given)["full_attention"],
        )
        assert keeps_documents_apart(model, 40) is False


def test_a_mask_has_one_form_where_no_layer_has_a_window(tiny_model, document_ids):
    for architecture in [*ABSOLUTE, "modernbert"]:
        mask = document_mask(tiny_model(architecture), document_ids)
        assert torch.equal(mask, document_ids[:, None, :, None] == document_ids[:, None, None, :])


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2"])
@pytest.mark.parametrize("training", [True, False])
def test_trying_leaves_the_model_and_the_random_state_as_they_were(tiny_model, architecture, training):
    model = tiny_model(architecture).train(training)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    state = torch.random.get_rng_state()
    keeps_documents_apart(model)
    assert model.training is training and all(module.training is training for module in model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_a_vocabulary_of_a_few_tokens_can_be_tried():
    config = BertConfig(vocab_size=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    assert keeps_documents_apart(BertForMaskedLM(config)) is True
