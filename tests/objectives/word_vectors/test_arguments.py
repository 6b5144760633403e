"""Settings of word vectors: what cannot be meant is refused."""

import pytest

from hf_unlab.objectives.word_vectors.arguments import WordVectorsTrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"objective": "cbow"}, "one of skip_gram, glove, not 'cbow'"),
        ({"window": 0}, "window must be at least 1"),
        ({"num_negatives": 0}, "num_negatives must be at least 1"),
        ({"num_counted_examples": 0}, "num_counted_examples must be at least 1"),
        ({"max_document_tokens": 1}, "at least 2, a pair, not 1"),
        ({"negative_power": 1.5}, "between 0 and 1, not 1.5"),
        ({"subsampling_threshold": -0.1}, "at least 0 and below 1, not -0.1"),
        ({"glove_saturation": 0.0}, "glove_saturation is 0.0"),
        ({"glove_power": -1.0}, "glove_power -1.0; both must be above 0"),
        ({"collapse_max_cosine": 2.0}, "collapse_max_cosine must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        WordVectorsTrainingArguments(str(tmp_path), **settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"objective": "glove", "num_negatives": 9}, "num_negatives=9 is ignored: objective is glove, not skip_gram."),
        (
            {"objective": "glove", "negative_power": 0.5, "subsampling_threshold": 0.0, "num_counted_examples": 7},
            "negative_power=0.5, subsampling_threshold=0.0, num_counted_examples=7 are ignored: objective is glove, "
            "not skip_gram.",
        ),
        (
            {"glove_saturation": 9.0, "glove_power": 0.5},
            "glove_saturation=9.0, glove_power=0.5 are ignored: objective is skip_gram, not glove.",
        ),
        ({"objective": "glove", "glove_power": 0.5, "window": 3}, None),
        ({"num_negatives": 9, "window": 3}, None),
    ],
)
def test_settings_of_the_other_objective_are_warned_of(settings, message, tmp_path, caplog):
    WordVectorsTrainingArguments(str(tmp_path), **settings)
    assert caplog.messages == ([message] if message else [])
