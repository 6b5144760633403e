"""Mean-pooled features: padding, batch size, layers and empty texts; and what every modality owes."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.text.encoder import TextEncoder, load_encoder
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.finetuning import predict_classes
from tests.modalities.template import ModalityTemplate

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


def make(config: PretrainedConfig, special: bool = True, **settings) -> TextEncoder:
    return TextEncoder(config, word_tokenizer(special), **settings)


def save_bert(folder) -> None:
    """A tiny checkpoint with a head of masked language modelling, the same each time."""
    torch.manual_seed(0)
    with alone_and_quiet():
        AutoModelForMaskedLM.from_config(BERT).save_pretrained(folder)
        word_tokenizer().save_pretrained(folder)


class TestText(ModalityTemplate):
    name = "text"
    auto_class = AutoModelForSequenceClassification

    def save(self, folder) -> None:
        AutoModelForMaskedLM.from_config(MODERNBERT).save_pretrained(folder)  # a head that is passed over
        word_tokenizer().save_pretrained(folder)

    def labelled(self, num, seed):
        """Words w0 to w19 in class 0, w20 to w39 in class 1."""
        rng, labels = np.random.default_rng(seed), np.arange(num) % 2
        drawn = [rng.integers(0, 20, rng.integers(3, 9)) + 20 * label for label in labels]
        return [" ".join(f"w{i}" for i in words) for words in drawn], labels


class TestBert(TestText):
    def save(self, folder) -> None:
        AutoModelForMaskedLM.from_config(BERT).half().save_pretrained(folder)  # half precision is read in float32
        word_tokenizer().save_pretrained(folder)


@pytest.mark.parametrize("config", [BERT, MODERNBERT], ids=["bert", "modernbert"])
@pytest.mark.parametrize("layer", [-1, 0, "all"])
def test_equals_the_unpadded_text_by_itself(config: PretrainedConfig, layer: int | str) -> None:
    encoder = make(config)
    features = features_of(encoder, TEXTS, layer)
    encoder.model.eval()
    for text, row in zip(TEXTS, features, strict=True):
        with torch.no_grad():
            outputs = encoder.model(**encoder.processor(text, return_tensors="pt"), output_hidden_states=True)
        states = [state[0].mean(0) for state in (*outputs.hidden_states[:-1], outputs.last_hidden_state)]
        expected = torch.cat(states) if layer == "all" else states[layer]
        np.testing.assert_allclose(row, expected.numpy(), atol=2e-6)


def test_batch_size_does_not_matter() -> None:
    one = features_of(make(MODERNBERT, batch_size=1), TEXTS)
    assert one.shape == (30, 48)
    for batch_size in (7, 64):
        np.testing.assert_allclose(features_of(make(MODERNBERT, batch_size=batch_size), TEXTS), one, atol=2e-6)


def test_texts_without_tokens_are_zero_and_class_0() -> None:
    encoder = make(BERT, special=False)
    features = features_of(encoder, ["", "w1 w2", ""], -1)
    assert (features[[0, 2]] == 0).all()
    assert (features[1] != 0).any()
    assert predict_classes(encoder.classifier(2, 0), encoder, ["", "w1"])[0] == 0
    with pytest.raises(ValueError, match="nothing to read in 1 inputs"):
        features_of(encoder, [""])


@pytest.mark.parametrize("special", [True, False])
def test_long_texts_are_read_whole_in_windows(special: bool) -> None:
    encoder = make(BERT, special=special, max_length=9)
    room = 9 - 2 * special
    texts = [" ".join(WORDS[:number]) for number in (1, room, room + 1, 3 * room, 40)]
    pieces = encoder.pieces(texts)
    assert max(map(len, pieces.inputs)) <= 9
    assert np.bincount(pieces.owner_P).tolist() == [1, 1, 2, 3, -(-40 // room)]
    np.testing.assert_allclose(np.bincount(pieces.owner_P, pieces.weight_P), 1)
    ends = len(encoder._prefix), len(encoder._suffix)
    assert ends == (int(special), int(special))
    for owner, text in enumerate(texts):
        windows = [
            pieces.inputs[i][ends[0] : len(pieces.inputs[i]) - ends[1]]
            for i in np.flatnonzero(pieces.owner_P == owner)
        ]
        assert [token for window in windows for token in window] == [4 + WORDS.index(word) for word in text.split()]
        assert max(map(len, windows)) - min(map(len, windows)) <= 1
        # the mean of its windows by themselves, by their tokens
        by_hand = sum(len(window) * features_of(encoder, [window_text(window)])[0] for window in windows)
        np.testing.assert_allclose(features_of(encoder, texts)[owner], by_hand / sum(map(len, windows)), atol=2e-6)
        classifier = encoder.classifier(3, 0).eval()
        with torch.no_grad():
            logits = sum(
                len(window) * classifier(**encoder.collate([window_text(window)])).logits[0] for window in windows
            )
        assert predict_classes(classifier, encoder, [text])[0] == int(logits.argmax())


def window_text(window: list[int]) -> str:
    return " ".join(WORDS[token - 4] for token in window)


def test_a_window_ends_at_every_limit(tmp_path) -> None:
    long, encoder = " ".join(WORDS), make(BERT, special=False)
    with alone_and_quiet():
        encoder.model.save_pretrained(tmp_path)
        encoder.processor.save_pretrained(tmp_path)
        settings = TextFewLabelSettings(few_label_max_length=3)
        assert load_encoder(tmp_path, settings=settings).sizes([long]).tolist() == [3]
        assert load_encoder(tmp_path).sizes([long, "w1 w2"]).tolist() == [20, 2]
    with pytest.raises(ValueError, match="max_length is 2: no token fits between the special ones"):
        make(BERT, max_length=2)


def test_a_roberta_has_fewer_positions_than_it_says() -> None:
    """The first ones are its padding's; a tokenizer without a limit would go beyond the last."""
    config = RobertaConfig(**{**BERT.to_dict(), "model_type": "roberta", "pad_token_id": 1})
    encoder = make(config)
    assert encoder.max_length == 18
    assert np.isfinite(features_of(encoder, [" ".join(WORDS * 3)])).all()
    assert len(predict_classes(encoder.classifier(2, 0), encoder, [" ".join(WORDS * 3)])) == 1


def test_a_model_without_a_padding_token_gets_the_tokenizers_in_a_copy() -> None:
    config = BertConfig(**{**BERT.to_dict(), "pad_token_id": None})
    assert make(config).config.pad_token_id == 0
    assert config.pad_token_id is None


def test_errors() -> None:
    with pytest.raises(ValueError, match="hidden states 0 to 2"):
        features_of(make(BERT), TEXTS, layer=3)
    with pytest.raises(ValueError, match="batch_size is 0"):
        make(BERT, batch_size=0)
    with pytest.raises(ValueError, match="reads no names"):
        make(BERT).class_features(["good"], ["{}"])


def test_batches_and_padding() -> None:
    encoder = make(BERT, special=False, batch_size=2)
    batches = list(encoder.batches(["w0", "", "w1 w2 w3", "w1 w2"]))
    assert [indices.tolist() for indices, _ in batches] == [[2, 3], [0]]
    assert batches[0][1]["input_ids"].tolist() == [[5, 6, 7], [5, 6, 0]]
    assert batches[0][1]["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
