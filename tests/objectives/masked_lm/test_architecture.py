"""Each architecture of AutoModelForMaskedLM trains with the losses of its full head, or is refused in one sentence."""

import logging

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from hf_unlab.losses.masked_lm import masked_lm_losses
from hf_unlab.modalities.text.masking import IGNORED
from hf_unlab.objectives.masked_lm.architecture import fits_head_at, keeps_documents_apart, num_embedded
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_bert, tiny_stream, tiny_texts, tiny_tokenizer
from hf_unlab.training.alone import quiet_transformers

T = 16
TOKENIZER = tiny_tokenizer()
# Settings under all the names that architectures have for them; each takes those that it knows.
SIZES = {
    "vocab_size": 300,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "mask_token_id": 4,
    "unk_token_id": 0,
    **dict.fromkeys(("hidden_size", "d_model", "emb_dim", "dim", "embedding_size"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_key_value_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_inner"), 24),
    **dict.fromkeys(("entity_vocab_size", "entity_emb_size", "pronunciation_vocab_size", "shape_vocab_size"), 20),
    "head_dim": 8,
    "block_sizes": [1, 1],
    "num_latents": 8,
    "d_latents": 16,
    "num_self_attends_per_block": 1,
    "num_hash_functions": 1,
    "axial_pos_shape": [4, 4],
    "axial_pos_embds_dim": [8, 8],
    "feed_forward_size": 24,
    "attention_head_size": 8,
    "attn_layers": ["local", "lsh"],
    "local_attn_chunk_length": 4,
    "num_buckets": 2,
    "lsh_attn_chunk_length": 4,
    "is_decoder": False,
    "languages": ["en_XX"],
    "default_language": "en_XX",
}
OTHER = {"perceiver": {"max_position_embeddings": T}, "neomme": {"head_dim": 16}}
# Their sizes are in the configurations of an image and a text encoder inside; at their defaults they take minutes.
NOT_TINY = {"modernvbert", "ultravbert"}
REFUSED = dict.fromkeys(("bart", "mbart", "mvp"), "is an encoder with a decoder behind it")
ALL_POSITIONS = {"perceiver"}  # the head reads all latents


@pytest.fixture(autouse=True)
def quiet():
    with quiet_transformers():
        yield


def make(name, **changes):
    kind = CONFIG_MAPPING[name]
    known = {*kind().to_dict(), *kind.attribute_map}
    settings = {**SIZES, **OTHER.get(name, {}), **changes}
    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(kind(**{key: settings[key] for key in settings if key in known}))


def trainer_of(model, tmp_path, length=T, tokenizer=TOKENIZER, precision="fp32"):
    args = MaskedLMTrainingArguments(
        str(tmp_path), max_steps=1, sequence_length=length, num_readers=1, per_device_train_batch_size=2,
        validation_fraction=0.1, disable_tqdm=True, use_cpu=True, report_to="none", precision=precision,
    )  # fmt: skip
    return MaskedLMTrainer(model, args, tiny_stream(tiny_texts(60)), processing_class=tokenizer)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of the architectures themselves
@pytest.mark.parametrize("name", sorted(set(MODEL_FOR_MASKED_LM_MAPPING_NAMES) - NOT_TINY))
def test_an_architecture_trains_as_its_full_head_does_or_is_refused(name, tmp_path, caplog):
    model = make(name)
    if name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name]) as refusal:
            trainer_of(model, tmp_path)
        assert len(str(refusal.value)) < 250 and "\n" not in str(refusal.value)
        return
    trainer = trainer_of(model, tmp_path)
    assert ("logits are computed at all positions" in caplog.text) == (name in ALL_POSITIONS)
    examples = [{"input_ids": ids.numpy(), "document_ids": (ids * 0).numpy()} for ids in torch.randint(5, 300, (2, T))]
    batch = trainer.make_collator(evaluation=False)(examples, Place(0))
    trainer._separates = False  # the mask of documents has tests of its own
    model.eval()
    torch.manual_seed(1)  # for attention that samples
    output = trainer.compute_objective(model, batch)
    torch.manual_seed(1)
    logits = model(input_ids=batch["input_ids"], attention_mask=torch.ones_like(batch["input_ids"])).logits
    chosen = batch["labels"] != IGNORED
    expected = masked_lm_losses(logits[chosen], batch["labels"][chosen])
    torch.testing.assert_close(output.item_losses, expected, atol=1e-4, rtol=1e-4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    output.terms["masked_lm"].sum.backward()
    torch.optim.SGD([each for each in model.parameters() if each.grad is not None], lr=0.1).step()
    assert any(not torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_length_that_an_architecture_cannot_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ReformerForMaskedLM cannot be trained on sequences of 12 tokens .*: "):
        trainer_of(make("reformer"), tmp_path, length=12)
    with pytest.raises(
        ValueError, match=r"PerceiverForMaskedLM cannot .* 12 tokens .*: it gives logits at 16 positions"
    ):
        trainer_of(make("perceiver"), tmp_path, length=12)


def test_where_16_bits_are_too_few_32_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"DebertaForMaskedLM .*BFloat16.*: --precision fp32 may do$"):
        trainer_of(make("deberta"), tmp_path, precision="bf16")


def test_a_model_that_counts_positions_by_the_padding_needs_some():
    assert fits_head_at(make("bert", pad_token_id=None), T) is True
    with pytest.raises(ValueError, match=r"RobertaForMaskedLM cannot .*no pad_token_id: let its tokenizer name a pad"):
        fits_head_at(make("roberta", pad_token_id=None), T)


class OtherLoss(BertForMaskedLM):
    """A model whose own loss is another one."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.loss = None if output.loss is None else 2 * output.loss
        return output


class ReadsMore(BertForMaskedLM):
    """A model whose head looks at the position of a token, too."""

    def forward(self, input_ids, attention_mask=None, labels=None):
        output = super().forward(input_ids=input_ids, attention_mask=attention_mask)
        output.logits[..., 7] += torch.arange(output.logits.shape[1])
        if labels is not None:
            output.loss = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
        return output


CONFIG = BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)


def test_trying_finds_another_loss_and_another_head():
    with pytest.raises(ValueError, match=r"OtherLoss is trained by another loss than cross-entropy at masked pos"):
        fits_head_at(OtherLoss(CONFIG), T)
    assert fits_head_at(ReadsMore(CONFIG), T) is False
    with pytest.raises(ValueError, match="BertModel has no head over a base model"):
        fits_head_at(tiny_bert().bert, T)


def test_trying_leaves_the_model_and_the_random_state_as_they_were():
    model = tiny_bert(hidden_dropout_prob=0.5).train()
    model.bert.encoder.eval()  # frozen by its user
    modes = [module.training for module in model.modules()]
    state = torch.random.get_rng_state()
    assert fits_head_at(model, T) is True and keeps_documents_apart(model, T) is True
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled() and all(each.grad is None for each in model.parameters())


def test_attention_is_tried_at_the_length_of_the_run(caplog):
    """A BigBird that once saw a short sequence attends to everything ever after."""
    model = make(
        "big_bird", max_position_embeddings=256, block_size=4, num_random_blocks=1, attention_type="block_sparse"
    )
    assert fits_head_at(model, 128) is True
    assert keeps_documents_apart(model, 128) is False
    assert model.bert.attention_type == "block_sparse"
    assert keeps_documents_apart(model, T) is True
    assert model.bert.attention_type == "original_full"


def test_a_tokenizer_with_more_ids_than_the_model_embeds_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"ids up to 299, and the model embeds 290 tokens.*resize_token_embeddings\(300"
    ):
        trainer_of(tiny_bert(vocab_size=290), tmp_path)
    assert num_embedded(make("perceiver")) == 300


def test_a_short_sequence_can_be_tried(caplog):
    with caplog.at_level(logging.WARNING):
        assert keeps_documents_apart(tiny_bert(), 1) is True and fits_head_at(tiny_bert(), 1) is True
