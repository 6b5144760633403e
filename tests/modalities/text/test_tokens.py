"""Token ids and batches: of any text, without what a tokenizer's file says of length, and of no token at all."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_unlab.modalities.text.models import load_tokenizer
from hf_unlab.modalities.text.tokens import FramedTokens, StaticTokens, special_tokens
from hf_unlab.modalities.text.words import train_word_tokenizer, word_tokenizer_of
from hf_unlab.streams.content import valid_unicode
from hf_unlab.testing import tiny_texts, tiny_tokenizer

TEXTS = [*tiny_texts(5), "", "the", "bad \ud800 text"]
KINDS = pytest.mark.parametrize("kind", [StaticTokens, FramedTokens])


def frameless():
    backend = Tokenizer(models.WordLevel({"?": 0, "yes": 1, "no": 2}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?", pad_token="?")


def arrays(*lists):
    return [np.array(each, dtype=np.int64) for each in lists]


@KINDS
def test_ids_are_those_of_the_text_alone(kind):
    tokenizer = tiny_tokenizer()
    for ids, text in zip(kind(tokenizer).ids_of(TEXTS), TEXTS, strict=True):
        assert ids.dtype == np.int64
        assert ids.tolist() == tokenizer(valid_unicode(text), add_special_tokens=False)["input_ids"]


@KINDS
def test_texts_are_neither_cut_nor_padded_whatever_the_tokenizers_file_says(kind, tmp_path):
    tokenizer = tiny_tokenizer()
    expected = [ids.tolist() for ids in kind(tokenizer).ids_of(TEXTS)]
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    tokenizer.save_pretrained(tmp_path)
    tokens = kind(load_tokenizer(str(tmp_path)))
    assert [ids.tolist() for ids in tokens.ids_of(TEXTS)] == expected
    tokens.tokenizer(TEXTS[:2], padding=True, truncation=True, max_length=3)  # what somebody else asks it for
    assert [ids.tolist() for ids in tokens.ids_of(TEXTS)] == expected


@KINDS
def test_it_travels(kind):
    tokens = kind(train_word_tokenizer(TEXTS))
    theirs = pickle.loads(pickle.dumps(tokens))
    assert [ids.tolist() for ids in theirs.ids_of(TEXTS)] == [ids.tolist() for ids in tokens.ids_of(TEXTS)]
    batches = [each.collate(each.ids_of(TEXTS)) for each in (tokens, theirs)]
    assert all(torch.equal(tensor, batches[1][name]) for name, tensor in batches[0].items())


def test_static_texts_stand_one_behind_the_other():
    batch = StaticTokens(frameless()).collate(arrays([1, 2], [], [2]))
    assert batch["input_ids"].tolist() == [1, 2, 2] and batch["offsets"].tolist() == [0, 2, 2]
    empty = StaticTokens(frameless()).collate(arrays([], []))
    assert empty["input_ids"].dtype == torch.int64 and empty["offsets"].tolist() == [0, 0]


def test_framed_texts_stand_between_the_special_tokens_and_are_padded():
    tokenizer = tiny_tokenizer()
    batch = FramedTokens(tokenizer).collate(arrays([7, 8], []))
    first, last, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    assert batch["input_ids"].tolist() == [[first, 7, 8, last], [first, last, pad, pad]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize("ids", [([1, 2], []), ([], [])])
def test_a_text_of_no_token_without_special_ones_is_one_of_padding(ids):
    """A transformer makes NaN of a row that nothing may be attended to in."""
    batch = FramedTokens(frameless()).collate(arrays(*ids))
    assert batch["input_ids"][1].tolist() == [0] * max(1, len(ids[0]))
    assert batch["attention_mask"].sum(1).tolist() == [max(1, len(each)) for each in ids]


def test_special_tokens_are_found_or_left_out():
    tokenizer = tiny_tokenizer()
    assert special_tokens(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    assert special_tokens(frameless()) == ([], [])


CUT = [
    "A river's edge",
    "",
    "  ",
    "The Town_1 [CLS] 12.5",
    "[SEP]",
    "na\u00efve river",
    "river\nTOWN\ttown\x1cstone",
    "unheard",
]


@pytest.mark.parametrize("words", [["river", "town", "the", "a", "s", "town_1", "12", "cls"]])
def test_words_are_found_as_the_tokenizer_finds_them(words):
    tokens = StaticTokens(word_tokenizer_of(words))
    assert tokens._words is not None
    for fast, slow in zip(tokens.ids_of(CUT), tokens._by_tokenizer(CUT), strict=True):
        np.testing.assert_array_equal(fast, slow)
        assert fast.dtype == slow.dtype == np.int64


PIECES = st.one_of(
    st.characters(max_codepoint=0x17F), st.characters(max_codepoint=0x2200), st.sampled_from(["[CLS]", "[cls]", "["])
)


@given(st.lists(st.lists(PIECES, max_size=30).map("".join), max_size=8))
def test_any_text_is_cut_alike(texts):
    tokens = StaticTokens(word_tokenizer_of(["a", "b", "ab", "0", "_", "k"]))
    for fast, slow in zip(tokens.ids_of(texts), tokens._by_tokenizer(texts), strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_another_tokenizer_is_asked_itself():
    assert StaticTokens(tiny_tokenizer())._words is None
