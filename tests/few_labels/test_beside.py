"""Words and vectors side by side: one logistic regression on both, as it would be written by hand."""

import numpy as np
import pytest
import torch
from scipy.sparse import hstack
from sklearn.linear_model import LogisticRegression

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.side_by_side import weight_beside
from hf_unlab.few_labels.beside import beside
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities.modality import Baseline
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.modalities.text.encoder import TextEncoder
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_texts, tiny_tokenizer


@pytest.fixture
def data() -> tuple[LabelledData, LabelledData]:
    torch.manual_seed(0)  # the models' weights are drawn
    texts = tiny_texts(120)
    labels = np.array([int("river" in text) for text in texts])
    parts = LabelledData(texts, labels, ("dry", "wet"))
    return parts.take(np.arange(80)), parts.take(np.arange(80, 120))


def test_it_is_one_regression_on_both(data):
    pool, test = data
    encoder = tiny_static_model().encoder()
    (candidate,) = beside("pretrained", encoder, [TF_IDF, Baseline("other", TF_IDF.make_transformer)], pool, test)
    assert candidate.name == "pretrained + TF-IDF"
    words = TF_IDF.make_transformer().fit(pool.inputs)
    pool_ND, test_ND = (
        hstack([features_of(encoder, part.inputs), weight_beside(10) * words.transform(part.inputs)]).tocsr()
        for part in data
    )
    drawn = sample_few_labels(pool.labels, 10, seed=0)
    wanted = LogisticRegression(C=3.0, max_iter=1000).fit(pool_ND[drawn], pool.labels[drawn]).predict(test_ND)
    np.testing.assert_array_equal(candidate.predict(drawn, 0), wanted)
    assert (candidate.predict(drawn, 0) == test.labels).mean() > 0.8


def test_without_a_weight_there_is_no_row(data):
    assert beside("pretrained", tiny_static_model().encoder(), [], *data) == []


def test_an_encoder_of_any_norm(data):
    tokenizer = tiny_tokenizer()
    encoder = TextEncoder.of_model(tiny_bert(len(tokenizer)), tokenizer)
    (candidate,) = beside("pretrained", encoder, [TF_IDF], *data)
    assert (candidate.predict(sample_few_labels(data[0].labels, 10, seed=0), 0) == data[1].labels).mean() > 0.7
