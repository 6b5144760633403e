"""Tokenizers that lose nothing, and models from scratch or from a checkpoint, or an error that helps."""

import json
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    TrainingArguments,
)

from hf_unlab.modalities.text.models import (
    PRESETS,
    load_masked_lm,
    load_tokenizer,
    num_embeddings_for,
    token_ids_of,
    tokenizer_for,
    train_tokenizer,
)
from hf_unlab.modalities.text.settings import TextModelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_bert, tiny_texts, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SPECIAL = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]


def read_back(text):
    return TOKENIZER.decode(TOKENIZER(text)["input_ids"], skip_special_tokens=True)


@given(st.text())
def test_any_text_comes_back_in_its_normal_form(text):
    assert read_back(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text", [" two  spaces ", "\ttab\r\nnewline\n", "don 't , stop .", "\x00\x7f\ufeff", "你好 🙂👩‍👩‍👧", "e\u0301"]
)
def test_spaces_punctuation_and_strange_characters_come_back(text):
    assert read_back(text) == unicodedata.normalize("NFC", text)


def test_documents_are_framed_and_nothing_is_unknown():
    ids = TOKENIZER("the river 🙂")["input_ids"]
    assert (ids[0], ids[-1]) == (TOKENIZER.cls_token_id, TOKENIZER.sep_token_id)
    assert not set(ids[1:-1]) & set(TOKENIZER.all_special_ids)
    pair = TOKENIZER.convert_ids_to_tokens(TOKENIZER("a", "b")["input_ids"])
    assert pair == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert [getattr(TOKENIZER, f"{name}_token") for name in ("unk", "pad", "cls", "sep", "mask")] == SPECIAL


def test_a_saved_tokenizer_is_an_ordinary_one_and_its_output_fits_the_model(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path))
    for text in tiny_texts(5):
        assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    assert loaded.mask_token == "[MASK]" and len(loaded) == len(TOKENIZER)
    load_masked_lm("tiny", loaded)(**loaded(["a", "the red river"], padding=True, return_tensors="pt"))


def test_training_is_deterministic_and_reads_a_generator_once():
    first = train_tokenizer((text for text in tiny_texts(40)), vocab_size=290)
    assert first.get_vocab() == train_tokenizer(tiny_texts(40), vocab_size=290).get_vocab()
    assert len(first) == 290


def test_a_vocabulary_smaller_than_the_bytes_is_refused_and_the_smallest_works():
    with pytest.raises(ValueError, match=r"vocab_size must be at least 261 .*, not 260"):
        train_tokenizer(tiny_texts(3), vocab_size=260)
    tokenizer = train_tokenizer(tiny_texts(3), vocab_size=261)
    assert len(tokenizer("abc")["input_ids"]) == 5


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\n"]])
def test_no_text_is_an_error(texts):
    with pytest.raises(ValueError, match="holds no text"):
        train_tokenizer(texts, vocab_size=300)


@pytest.mark.parametrize("texts", [["a", "b"], ["bad \ud800 text"]])
def test_poor_text_is_text(texts):
    assert len(train_tokenizer(texts, vocab_size=300)) >= 261


@pytest.mark.parametrize("name", ["tiny", "mini"])
def test_a_preset_is_made_from_scratch_for_the_tokenizer(name):
    model = load_masked_lm(name, TOKENIZER)
    config = model.config
    assert isinstance(model, ModernBertForMaskedLM)
    assert {key: getattr(config, key) for key in PRESETS[name]} == PRESETS[name]
    assert config.layer_types == ["full_attention"] * config.num_hidden_layers
    assert model.get_input_embeddings().num_embeddings == len(TOKENIZER)
    for role in ("pad", "cls", "sep"):
        assert getattr(config, f"{role}_token_id") == getattr(TOKENIZER, f"{role}_token_id")


def test_larger_presets_attend_globally_in_every_third_layer():
    config = load_masked_lm("small", TOKENIZER, config_overrides="hidden_size=16,intermediate_size=16").config
    assert config.layer_types == (["full_attention", "sliding_attention", "sliding_attention"] * 3)[:8]


@pytest.mark.parametrize(
    "overrides, expected",
    [
        ("hidden_size=64", {"hidden_size": 64}),
        ("hidden_size=64, num_hidden_layers = 5", {"hidden_size": 64, "num_hidden_layers": 5}),
        ("num_hidden_layers=1", {"num_hidden_layers": 1}),
        ("mlp_dropout=0.25,tie_word_embeddings=false", {"mlp_dropout": 0.25, "tie_word_embeddings": False}),
        ("vocab_size=320", {"vocab_size": 320}),  # rounded up, as is fast on a GPU
    ],
)
def test_overrides_change_the_configuration_and_the_model_runs(overrides, expected):
    model = load_masked_lm("tiny", TOKENIZER, config_overrides=overrides)
    assert {key: getattr(model.config, key) for key in expected} == expected
    assert len(model.model.layers) == len(model.config.layer_types) == model.config.num_hidden_layers
    assert model(torch.tensor([[5, 6]])).logits.shape == (1, 2, model.config.vocab_size)


@pytest.mark.parametrize(
    "overrides, message",
    [
        ("hiden_size=64", "hiden_size isn't in.*names from ModernBertConfig"),
        ("hidden_size", "'name=value,name=value'"),
        ("hidden_size=64,", "'name=value,name=value'"),
        ("hidden_size=wide", "'wide'.*'name=value,name=value'"),
        ("tie_word_embeddings=perhaps", "true or false from perhaps"),
        ("layer_types=3", "for key layer_types.*'name=value,name=value'"),
        ("num_attention_heads=3", "not a multiple of the number of attention heads"),
        ("vocab_size=10", "vocab_size=10 is too small for the tokenizer's 300 ids"),
    ],
)
def test_overrides_that_cannot_be_applied_say_why(overrides, message):
    with pytest.raises(ValueError, match=message):
        load_masked_lm("tiny", TOKENIZER, config_overrides=overrides)


@pytest.fixture
def checkpoint(tmp_path):
    """A trained BERT in bfloat16, without a tokenizer."""
    torch.manual_seed(0)
    tiny_bert().to(torch.bfloat16).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def test_going_on_from_a_checkpoint_keeps_its_weights_in_fp32(checkpoint):
    model = load_masked_lm(checkpoint, TOKENIZER)
    stored = AutoModelForMaskedLM.from_pretrained(checkpoint).state_dict()
    for name, weight in model.state_dict().items():
        assert weight.dtype == torch.float32 and torch.equal(weight, stored[name].float()), name


def test_from_scratch_takes_the_architecture_and_not_the_weights(checkpoint):
    model = load_masked_lm(checkpoint, TOKENIZER, from_scratch=True, config_overrides="num_hidden_layers=3")
    assert type(model).__name__ == "BertForMaskedLM" and len(model.bert.encoder.layer) == 3
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    stored = AutoModelForMaskedLM.from_pretrained(checkpoint, dtype=torch.float32)
    weights = [m.get_input_embeddings().weight[5:] for m in (model, stored)]
    assert (weights[0] - weights[1]).abs().mean() > 1e-3


def test_overrides_for_trained_weights_are_refused(checkpoint):
    with pytest.raises(ValueError, match=r"would not fit the trained weights.*add from_scratch"):
        load_masked_lm(checkpoint, TOKENIZER, config_overrides="hidden_size=8")


def test_a_larger_tokenizer_makes_the_embeddings_larger_and_a_smaller_one_leaves_them(checkpoint):
    larger = train_tokenizer(tiny_texts(200), vocab_size=310)
    larger.add_tokens([f"<new{i}>" for i in range(4)])
    model = load_masked_lm(checkpoint, larger)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == len(larger) > 300
    assert model(torch.tensor([[len(larger) - 1]])).logits.shape == (1, 1, len(larger))
    stored = AutoModelForMaskedLM.from_pretrained(checkpoint, dtype=torch.float32)
    assert torch.equal(model.get_input_embeddings().weight[:300], stored.get_input_embeddings().weight)
    smaller = train_tokenizer(tiny_texts(9), vocab_size=270)
    assert load_masked_lm(checkpoint, smaller).get_input_embeddings().num_embeddings == 300


@pytest.fixture
def with_gaps():
    """A tokenizer of 265 tokens whose last has the id 400."""
    tokenizer = train_tokenizer(tiny_texts(9), vocab_size=270)
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    content["model"]["vocab"] = {**vocabulary, last: 400}
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)), **names)


def test_every_id_has_an_embedding_where_ids_leave_numbers_out(checkpoint, with_gaps, caplog):
    assert len(with_gaps) == 270 and num_embeddings_for(with_gaps) == 401
    assert token_ids_of(with_gaps)[-2:].tolist() == [268, 400]
    for options in ({}, {"from_scratch": True}):
        model = load_masked_lm(checkpoint, with_gaps, **options)
        assert model.config.vocab_size == 401
        assert model(torch.tensor([[400]])).logits.shape == (1, 1, 401)
    assert caplog.messages == [
        f"The tokenizer has ids up to 400, and '{checkpoint}' embeds 300 tokens: 101 embeddings are new. Is it the "
        "model's tokenizer?"
    ]
    with pytest.raises(ValueError, match=r"vocab_size=300 is too small for the tokenizer's 401 ids"):
        load_masked_lm("tiny", with_gaps, config_overrides="vocab_size=300")


def test_a_tokenizer_without_a_padding_token_will_do(tmp_path):
    tokenizer = train_tokenizer(tiny_texts(9), vocab_size=270)
    tokenizer.pad_token = None
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    BertConfig(**size, vocab_size=300).save_pretrained(tmp_path)
    model = load_masked_lm(str(tmp_path), tokenizer, from_scratch=True)
    assert model(torch.tensor([[5, 6]])).logits.shape == (1, 2, 270)


@pytest.mark.parametrize("name", ["nobody/nothing", "tinny"])
def test_an_unknown_name_says_what_to_check(name):
    for load in (load_tokenizer, lambda name: load_masked_lm(name, TOKENIZER)):
        with pytest.raises(ValueError, match=r"no folder here.*Check the spelling.*tiny, mini, small, base"):
            load(name)


def test_folders_that_hold_no_model_or_no_tokenizer_are_told_apart(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="the folder is here"):
        load_masked_lm(str(tmp_path), TOKENIZER)
    with pytest.raises(ValueError, match="holds a model but no tokenizer"):
        load_tokenizer(checkpoint)


def tokenizer_of(settings, sources, tmp_path, checkpoint=None):
    args = TrainingArguments(str(tmp_path / "run"), use_cpu=True, report_to="none")
    return tokenizer_for(settings, sources, checkpoint, args)


def test_a_run_from_scratch_trains_a_tokenizer_on_its_data_and_saves_it(tmp_path):
    for name, word in (("first", "aardvark"), ("second", "zebra")):
        (tmp_path / f"{name}.txt").write_text(f"{word} {word}\n" * 10 + "quokka quokka\n" * 20)
    sources = [Source(str(tmp_path / f"{name}.txt")) for name in ("first", "second")]
    settings = TextModelSettings(vocab_size=400, tokenizer_num_examples=20)  # ten of each, and no quokka
    tokenizer = tokenizer_of(settings, sources, tmp_path)
    lengths = {word: len(tokenizer.tokenize(word)) for word in ("aardvark", "zebra", "quokka")}
    assert lengths == {"aardvark": 1, "zebra": 1, "quokka": 6}
    assert load_tokenizer(str(tmp_path / "run")).get_vocab() == tokenizer.get_vocab()


def test_a_resumed_run_and_a_named_tokenizer_read_no_data(tmp_path, checkpoint):
    TOKENIZER.save_pretrained(tmp_path / "saved")
    saved = str(tmp_path / "saved")
    for settings, resumed_from in (
        (TextModelSettings(), tmp_path / "saved"),
        (TextModelSettings(tokenizer=saved), None),
        (TextModelSettings(model=checkpoint, tokenizer=saved), None),
        (TextModelSettings(model=saved), None),
    ):
        tokenizer = tokenizer_of(settings, [Source("/nowhere.txt")], tmp_path, resumed_from)
        assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
