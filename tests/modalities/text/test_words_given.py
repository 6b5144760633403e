"""A tokenizer of words that are given, beside one that is trained on the texts that hold them."""

import pytest

from hf_unlab.modalities.text.words import SPECIAL_TOKENS, train_word_tokenizer, word_tokenizer_of
from hf_unlab.testing import tiny_texts


def test_it_is_the_one_that_is_trained_on_texts_with_these_words():
    trained = train_word_tokenizer(tiny_texts(30))
    ids = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    given = word_tokenizer_of([word for word, _ in ids if word not in SPECIAL_TOKENS.values()])
    assert given.get_vocab() == trained.get_vocab()
    for text in ["The OLD river, an unheard-of stone!", "", "[MASK] a town"]:
        assert given(text)["input_ids"] == trained(text)["input_ids"]
    assert given.special_tokens_map == trained.special_tokens_map


def test_it_is_saved_and_loaded(tmp_path):
    tokenizer = word_tokenizer_of(["river", "a"])
    tokenizer.save_pretrained(tmp_path)
    assert type(tokenizer).from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "The list of words is empty"),
        (["a", "b", "a"], "1 words are given more than once, such as 'a'"),
        (["a", "two words"], "1 of 2 words would never be found in a text, such as 'two words'"),
        (["it's", "The"], "2 of 2 words"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        word_tokenizer_of(words)
