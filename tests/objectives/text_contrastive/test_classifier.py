"""The classifier that users keep."""

import joblib
import numpy as np
import pytest
import torch

from hf_unlab.evaluation.side_by_side import weight_beside
from hf_unlab.objectives.text_contrastive.classifier import TextVectors, choose_classifier, words_and_vectors
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_texts, tiny_tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("static")
    torch.manual_seed(0)
    tiny_static_model().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def labelled() -> tuple[list[str], list[str]]:
    texts = tiny_texts(60)
    return texts, ["wet" if "river" in text else "dry" for text in texts]


def test_it_learns_and_is_kept(checkpoint, labelled, tmp_path):
    texts, labels = labelled
    classifier = choose_classifier(checkpoint, texts, labels, tiny_texts(100, seed=1))
    assert classifier.score(texts, labels) > 0.9
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    kept = joblib.load(tmp_path / "classifier.joblib")
    np.testing.assert_allclose(kept.predict_proba(texts), classifier.predict_proba(texts))
    assert set(kept.predict(["the old river"])) == {"wet"}


def test_vectors_of_any_norm_stand_beside_the_words_with_norm_1(labelled, tmp_path):
    texts, labels = labelled
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    tiny_bert(len(tokenizer)).save_pretrained(tmp_path)
    classifier = words_and_vectors(str(tmp_path), texts, 2.0).fit(texts, labels)
    vectors = dict(classifier["features"].transformer_list)["vectors"]
    np.testing.assert_allclose(np.linalg.norm(vectors.transform(texts), axis=1), 1, rtol=1e-5)
    assert classifier.predict(["a \ud800 river"]).shape == (1,)


def test_the_weights_of_the_encoder_are_not_kept_with_it(checkpoint, tmp_path):
    vectors = TextVectors(checkpoint)
    vectors.transform(["a river"])
    joblib.dump(vectors, tmp_path / "vectors.joblib")
    assert (tmp_path / "vectors.joblib").stat().st_size < 1000


def test_words_know_what_has_no_label(checkpoint, labelled):
    texts, labels = labelled
    classifier = words_and_vectors(checkpoint, [*texts, "unheard"], 2.0).fit(texts, labels)
    words = dict(classifier["features"].transformer_list)["words"].estimator
    assert "unheard" in words.vocabulary_


def test_with_too_few_labels_nothing_is_chosen(checkpoint, labelled):
    texts, labels = labelled
    few = [labels.index("wet"), labels.index("dry")]
    classifier = choose_classifier(checkpoint, [texts[i] for i in few], [labels[i] for i in few])
    assert classifier["features"].transformer_weights == {"words": weight_beside(1)}


def test_without_the_words(checkpoint, labelled):
    texts, labels = labelled
    classifier = words_and_vectors(checkpoint, texts, 0).fit(texts, labels)
    assert classifier[:-1].transform(["a river"]).shape == (1, 8)


@pytest.mark.parametrize(("labels", "message"), [(["wet"] * 3, "1 classes"), (["wet", "dry"], "3 texts, 2 labels")])
def test_mistakes_are_named(checkpoint, labels, message):
    with pytest.raises(ValueError, match=message):
        choose_classifier(checkpoint, ["a", "b", "c"], labels)
    with pytest.raises(ValueError, match="words_weight is -1"):
        words_and_vectors(checkpoint, ["a"], -1)
