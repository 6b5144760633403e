"""What word vectors read: token ids that are remembered, and counts of the first texts."""

import pickle

import numpy as np
import pytest
from datasets import Dataset

from hf_unlab.modalities.text import tokens
from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.objectives.word_vectors import reading
from hf_unlab.objectives.word_vectors.reading import TokeniseTexts, count_words
from hf_unlab.streams.sources import WeightedStream
from hf_unlab.testing import tiny_static_model, tiny_stream, tiny_texts

TOKENS = tiny_static_model().tokens
VOCAB_SIZE = len(TOKENS.tokenizer)


def counted(streams, num_examples):
    return count_words(streams, num_examples, VOCAB_SIZE, TokeniseTexts(TOKENS), text_problem).tolist()


def expected(texts):
    return np.bincount(np.concatenate(TOKENS.ids_of(texts)), minlength=VOCAB_SIZE).tolist()


def test_texts_are_tokenised_once(monkeypatch):
    tokenise, asked = TokeniseTexts(TOKENS), []
    ids_of = type(TOKENS).ids_of
    monkeypatch.setattr(type(TOKENS), "ids_of", lambda self, texts: asked.extend(texts) or ids_of(self, texts))
    texts = ["a river", "the town", "a river"]
    for _ in range(2):
        made = tokenise([{"text": text} for text in texts], 0)
        assert [one["ids"].tolist() for one in made] == [ids.tolist() for ids in ids_of(TOKENS, texts)]
    assert asked == ["a river", "the town"]
    assert pickle.loads(pickle.dumps(tokenise))._known == {}


def test_what_is_remembered_has_an_end(monkeypatch):
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 20)
    tokenise = TokeniseTexts(TOKENS)
    for number in range(0, 50, 2):
        texts = tiny_texts(50)[number : number + 2]
        made = tokenise([{"text": text} for text in texts], 0)
        assert [one["ids"].tolist() for one in made] == [ids.tolist() for ids in TOKENS.ids_of(texts)]
        assert tokenise._num_known < 60


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_the_first_texts_of_each_source_are_counted(block, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", block)
    one, other = tiny_texts(10), tiny_texts(10, seed=1)
    streams = [WeightedStream(tiny_stream(one)), WeightedStream(Dataset.from_dict({"text": other}))]
    assert counted(streams, 8) == expected(one[:4] + other[:4])
    assert counted(streams, 1000) == expected(one + other)


def test_what_is_held_out_or_bad_is_not_counted():
    texts = [*tiny_texts(6), " "]
    stream = WeightedStream(
        tiny_stream(texts), select=lambda block: [row if "0." not in row["text"] else None for row in block]
    )
    assert counted([stream], 100) == expected(tiny_texts(6)[1:])


def test_nothing_to_count_is_said():
    with pytest.raises(ValueError, match="no word in the first 5 examples"):
        counted([WeightedStream(tiny_stream(["...", "!"]))], 5)
