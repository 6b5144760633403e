"""TF-IDF reads words, and says when there are none."""

import numpy as np
import pytest

from hf_unlab.evaluation.features import baseline_features
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.methods import cheap
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities.text.baseline import TF_IDF

POOL, TEST = np.repeat(np.arange(3), 50), np.tile(np.arange(3), 100)


def test_words_are_read_and_the_rest_ignored() -> None:
    words = np.array(["cat", "dog", "emu"])
    pool = LabelledData([f"the {w} is here" for w in words[POOL]], POOL, tuple(words))
    test = LabelledData([f"here the {w} !" for w in words[TEST]], TEST, tuple(words))
    baseline = cheap(TF_IDF, pool, test)
    assert (baseline.name, baseline.method) == ("TF-IDF", "logistic regression")
    assert (baseline.predict(sample_few_labels(POOL, 1, 0), 0) == TEST).all()


def test_no_words_are_a_mistake() -> None:
    with pytest.raises(
        ValueError, match=r"TF-IDF can make nothing of 2 inputs of the pool.*: empty vocabulary.* right column"
    ):
        baseline_features(TF_IDF, ["", "!"], ["a"])
