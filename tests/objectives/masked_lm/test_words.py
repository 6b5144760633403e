"""Words are told apart by how a vocabulary writes them; rows, documents and special tokens end them."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hf_unlab.modalities.text.models import train_tokenizer
from hf_unlab.objectives.masked_lm.words import BEGINS, ENDS, LONGEST_WORD, SPECIAL, find_words, token_marks
from hf_unlab.testing import tiny_texts

TEXT = "the small riverbank keeps old stones unwritten"
SPECIAL_TOKENS = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}


def fast(model, pre_tokenizer, trainer=None, decoder=None):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder or decoders.WordPiece()
    if trainer is not None:
        tokenizer.train_from_iterator(tiny_texts(50), trainer=trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def of_words(*tokens):
    """A tokenizer whose vocabulary is given: what tells words apart is read from that alone."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS.values(), *tokens])}
    return fast(models.WordLevel(vocabulary, unk_token="[UNK]"), pre_tokenizers.WhitespaceSplit())


def byte_level():
    return train_tokenizer(tiny_texts(50), 300)


def word_piece():
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*SPECIAL_TOKENS.values(), *letters, *(f"##{letter}" for letter in letters), "river", "##bank", "#"]
    model = models.WordPiece({token: number for number, token in enumerate(vocabulary)}, unk_token="[UNK]")
    return fast(model, pre_tokenizers.BertPreTokenizer())


def metaspace(model, trainer):
    special = list(SPECIAL_TOKENS.values())
    letters = list("abcdefghijklmnopqrstuvwxyz")
    made = trainer(vocab_size=80, special_tokens=special, initial_alphabet=letters, show_progress=False)
    return fast(model, pre_tokenizers.Metaspace(), made, decoders.Metaspace())


TOKENIZERS = {
    "byte-level BPE": byte_level,
    "WordPiece": word_piece,
    "Metaspace BPE": lambda: metaspace(models.BPE(), trainers.BpeTrainer),
    "SentencePiece": lambda: metaspace(models.Unigram(), trainers.UnigramTrainer),
}


def words_of(tokenizer, text, document_ids=None):
    """The tokens of each word."""
    ids = np.array([tokenizer(text, add_special_tokens=False)["input_ids"]])
    documents = np.zeros_like(ids) if document_ids is None else np.array([document_ids])
    words = find_words(ids, documents, token_marks(tokenizer))
    return [ids[0, end - size : end].tolist() for size, end in zip(words.sizes_W, words.sizes_W.cumsum(), strict=True)]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_words_are_those_that_stand_between_spaces(name):
    tokenizer = TOKENIZERS[name]()
    words = words_of(tokenizer, TEXT)
    assert [tokenizer.decode(ids).strip() for ids in words] == TEXT.split()
    assert max(map(len, words)) > 1  # so that there is something to find


@pytest.mark.parametrize(
    "tokens, expected",
    [
        (["wo", "rd</w>", "a</w>"], [["wo", "rd</w>"], ["a</w>"], ["wo", "wo", "rd</w>"]]),
        (["wo@@", "rd", "a"], [["wo@@", "rd"], ["a"], ["wo@@", "wo@@", "rd"]]),
        (["wo", "rd", "a"], [["wo"], ["rd"], ["a"], ["wo"], ["wo"], ["rd"]]),  # whole words
        (["##", "###", "a"], [["##"], ["###"], ["a"], ["##"], ["##"], ["###"]]),  # Markdown
    ],
)
def test_vocabularies_that_write_words_in_other_ways(tokens, expected):
    tokenizer = of_words(*tokens)
    first, second, third = tokens
    found = words_of(tokenizer, " ".join([first, second, third, first, first, second]))
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in found] == expected


def test_a_stray_mark_among_whole_words_is_none():
    assert (token_marks(of_words("▁", *(f"word{i}" for i in range(2000))))[5:] == BEGINS | ENDS).all()


def test_line_breaks_and_tabs_begin_a_word_in_byte_level_vocabularies():
    tokenizer = train_tokenizer(["ab"], 261)  # bytes alone
    found = [tokenizer.decode(ids) for ids in words_of(tokenizer, "ab\ncd\tef gh, ij")]
    assert found == ["ab", "\ncd", "\tef", " gh,", " ij"]


def test_added_tokens_are_words_and_special_ones_are_known():
    tokenizer = byte_level()
    tokenizer.add_tokens(["<url>"])
    marks = token_marks(tokenizer)
    assert marks[tokenizer.convert_tokens_to_ids("<url>")] == BEGINS | ENDS
    special = np.flatnonzero(marks >= SPECIAL)
    assert special.tolist() == sorted(tokenizer.all_special_ids)


def test_ids_that_a_vocabulary_leaves_out_do_no_harm():
    vocabulary = {token: 10 * number for number, token in enumerate([*SPECIAL_TOKENS.values(), "a", "##b"])}
    marks = token_marks(fast(models.WordPiece(vocabulary, unk_token="[UNK]"), pre_tokenizers.BertPreTokenizer()))
    assert len(marks) == 61 and marks[50] == BEGINS and marks[60] == 0


def naive_words(ids, documents, marks):
    """(size, whether it is first) of each word, token by token."""
    found = []
    for row, owners in zip(ids.tolist(), documents.tolist(), strict=True):
        for place, (token, owner) in enumerate(zip(row, owners, strict=True)):
            before = marks[row[place - 1]] if place else SPECIAL
            first = bool(before & SPECIAL or marks[token] & SPECIAL or owner != owners[place - 1])
            if first or marks[token] & BEGINS or before & ENDS or found[-1][0] == LONGEST_WORD:
                found.append([0, first])
            found[-1][0] += 1
    return found


@pytest.mark.parametrize("share_of_beginnings", [0.5, 0.01])  # with the second, words are longer than the limit
def test_words_are_those_of_a_naive_loop(share_of_beginnings):
    rng = np.random.default_rng(0)
    marks = rng.choice([0, BEGINS, ENDS], p=[0.98 - share_of_beginnings, share_of_beginnings, 0.02], size=200)
    marks = np.concatenate([[BEGINS | ENDS | SPECIAL] * 5, marks]).astype(np.uint8)
    ids = rng.integers(0, 205, size=(20, 120))
    documents = (rng.random(ids.shape) < 0.02).cumsum(axis=1)
    words = find_words(ids, documents, marks)
    found = [[size, first] for size, first in zip(words.sizes_W.tolist(), words.is_first_W.tolist(), strict=True)]
    assert found == naive_words(ids, documents, marks)
    assert (words.special_BT == (ids < 5)).all()
    assert (max(words.sizes_W) == LONGEST_WORD) == (share_of_beginnings == 0.01)


def test_a_document_ends_a_word():
    tokenizer = byte_level()
    num_tokens = len(tokenizer("oldest", add_special_tokens=False)["input_ids"])
    assert len(words_of(tokenizer, "oldest")) == 1
    assert len(words_of(tokenizer, "oldest", [0] * (num_tokens - 1) + [1])) == 2
