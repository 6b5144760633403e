"""One crop, read by two models."""

import pickle

import numpy as np
import pytest
import torch

from hf_unlab.modalities.running import without_weights
from hf_unlab.modalities.text.static import StaticEncoder
from hf_unlab.objectives.distillation.collator import TeachingCollator
from hf_unlab.objectives.distillation.crops import kind_of
from hf_unlab.streams.loader import Place
from tests.objectives.distillation.helpers import TEXTS, static, text_teacher


def first_words(text, rng):
    return " ".join(text.split()[: 2 if rng is None else int(rng.integers(2, 5))])


@pytest.fixture
def encoders():
    return static().encoder(), text_teacher().encoder


def test_both_read_the_same_piece(encoders):
    collate = TeachingCollator("text", first_words, *encoders, seed=0)
    batch = collate([{"text": text} for text in TEXTS[:5]], Place(3))
    rng = np.random.default_rng((0, 3))
    pieces = [first_words(text, rng) for text in TEXTS[:5]]
    for name, encoder in zip(("student", "teacher"), encoders, strict=True):
        expected = encoder.collate(pieces)
        assert batch[name].keys() == expected.keys()
        assert all(torch.equal(value, expected[key]) for key, value in batch[name].items())
    assert batch["num_items"] == 5 and batch["rows"].tolist() == list(range(5))


class Choosy(StaticEncoder):
    """Finds nothing in a text that begins with an o."""

    def sizes(self, inputs):
        return np.array([not text.startswith("o") for text in inputs], dtype=np.int64)


def test_examples_in_which_one_finds_nothing_are_left_out(encoders):
    student, teacher = encoders
    collate = TeachingCollator("text", first_words, Choosy(student.tokenizer), teacher)
    batch = collate([{"text": text} for text in ("red river", "old town", "a stone")], Place(0))
    assert batch["rows"].tolist() == [0, 2] and batch["num_items"] == 2
    assert [len(batch["student"]["offsets"]), len(batch["teacher"]["input_ids"])] == [2, 2]
    with pytest.raises(ValueError, match="There is no token in any of 1 examples, such as 'old town'"):
        collate([{"text": "old town"}], Place(0))


def test_readers_have_no_weights_and_read_as_before(encoders):
    for encoder in (*encoders, StaticEncoder(encoders[0].tokenizer, torch.zeros(50_000, 100))):
        reader = without_weights(encoder)
        sent = pickle.dumps(reader)
        assert len(sent) < 100_000 and encoder.model is not None
        expected, found = (one.collate(["the red river"]) for one in (encoder, pickle.loads(sent)))
        assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_the_samples_are_inputs(encoders):
    for encoder in encoders:
        assert encoder.sizes([kind_of("text").make_sample()])[0] > 0
