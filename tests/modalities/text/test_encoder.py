"""Mean-pooled features: padding, batch size, heads, layers and empty texts."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from hf_unlab.modalities.text.encoder import batches_by_length, extract_text_features, pad

WORDS = [f"w{i}" for i in range(40)]
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, size=i % 13)) for i in range(30)]  # lengths 0 to 12
BERT = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
)
MODERNBERT = ModernBertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    cls_token_id=1,
    sep_token_id=2,
)


def word_tokenizer(special: bool = True) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


def make(config: PretrainedConfig, auto_class: type = AutoModel) -> torch.nn.Module:
    torch.manual_seed(0)
    return auto_class.from_config(config)


@pytest.mark.parametrize("config", [BERT, MODERNBERT], ids=["bert", "modernbert"])
@pytest.mark.parametrize("layer", [-1, 0, "all"])
def test_equals_the_unpadded_text_by_itself(config: PretrainedConfig, layer: int | str) -> None:
    model, tokenizer = make(config).eval(), word_tokenizer()
    features = extract_text_features(model, tokenizer, TEXTS, layer=layer)
    for text, row in zip(TEXTS, features, strict=True):
        with torch.no_grad():
            outputs = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        states = [state[0].mean(0) for state in (*outputs.hidden_states[:-1], outputs.last_hidden_state)]
        expected = torch.cat(states) if layer == "all" else states[layer]
        np.testing.assert_allclose(row, expected.numpy(), atol=2e-6)


def test_batch_size_does_not_matter() -> None:
    model, tokenizer = make(MODERNBERT), word_tokenizer()
    one = extract_text_features(model, tokenizer, TEXTS, batch_size=1)
    assert one.shape == (30, 16)
    assert one.dtype == np.float32
    for batch_size in (7, 64):
        features = extract_text_features(model, tokenizer, TEXTS, batch_size=batch_size)
        np.testing.assert_allclose(features, one, atol=2e-6)


def test_a_head_is_passed_over_and_the_mode_restored() -> None:
    model, tokenizer = make(BERT, AutoModelForMaskedLM), word_tokenizer()
    for training in (True, False):
        model.train(training)
        with_head = extract_text_features(model, tokenizer, TEXTS)
        assert model.training is model.base_model.training is model.base_model.encoder.layer[0].training is training
        np.testing.assert_array_equal(with_head, extract_text_features(model.base_model, tokenizer, TEXTS))


def test_texts_without_tokens_are_zero() -> None:
    model, tokenizer = make(BERT), word_tokenizer(special=False)
    features = extract_text_features(model, tokenizer, ["", "w1 w2", ""])
    assert (features[[0, 2]] == 0).all()
    assert (features[1] != 0).any()
    assert extract_text_features(model, tokenizer, [""]).tolist() == [[0.0] * 16]
    assert extract_text_features(model, tokenizer, []).shape == (0, 16)


def test_long_texts_are_cut_at_the_models_limit() -> None:
    model, tokenizer = make(BERT), word_tokenizer(special=False)
    long = " ".join(WORDS)
    cut = extract_text_features(model, tokenizer, [" ".join(WORDS[:20])])
    np.testing.assert_allclose(extract_text_features(model, tokenizer, [long], max_length=128), cut, atol=1e-6)


def test_errors() -> None:
    model, tokenizer = make(BERT), word_tokenizer()
    with pytest.raises(ValueError, match="hidden states 0 to 2"):
        extract_text_features(model, tokenizer, TEXTS, layer=3)
    with pytest.raises(ValueError, match="'last'"):
        extract_text_features(model, tokenizer, TEXTS, layer="last")
    with pytest.raises(ValueError, match="batch_size is 0"):
        extract_text_features(model, tokenizer, TEXTS, batch_size=0)


def test_batches_by_length_and_padding() -> None:
    batches = [batch.tolist() for batch in batches_by_length([[1], [], [1, 2, 3], [1, 2]], 2)]
    assert batches == [[2, 3], [0]]
    batch = pad([[5, 6, 7], [8]], pad_token_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
