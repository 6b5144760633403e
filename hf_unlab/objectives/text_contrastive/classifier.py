"""The classifier that users keep: words and vectors side by side, as one pipeline of scikit-learn.

classifier = choose_classifier("out", texts, labels)
joblib.dump(classifier, "classifier.joblib")
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.probes import UNIT_NORM_C
from hf_unlab.evaluation.side_by_side import SIDE_BY_SIDE_C, side_by_side, weight_beside
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.streams.content import valid_unicode

_FACTORS = (0.0, 1.0, 2.0)  # of the usual weight of the words
_LEAST_FOLDS, _MOST_FOLDS = 3, 5


@dataclass
class ClassifierSettings:
    """What recipes/text_contrastive/finetune.py is told beside the labelled data."""

    model: str = field(metadata={"help": "The pretrained checkpoint: a path or a Hub id."})
    output_dir: str = field(metadata={"help": "Where classifier.joblib goes."})
    unlabelled_dataset: str | None = field(
        default=None, metadata={"help": "Raw texts whose words are counted, too, as --labelled_dataset."}
    )
    unlabelled_files: list[str] | None = field(default=None, metadata={"help": "Files of it."})


class TextVectors(TransformerMixin, BaseEstimator):
    """Texts to the vectors of a checkpoint, as a transformer of scikit-learn; it is pickled without the weights.

    Args:
        checkpoint: A folder or a Hub id, where it is looked for again once it is unpickled.

    Example:
        >>> TextVectors("out").transform(["a text"]).shape  # doctest: +SKIP
        (1, 256)
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    @cached_property
    def _encoder(self) -> Any:
        return load_encoder(self.checkpoint)

    def __getstate__(self) -> dict[str, Any]:
        """Without the encoder."""
        return {name: value for name, value in super().__getstate__().items() if name != "_encoder"}

    def __sklearn_is_fitted__(self) -> bool:
        """There is nothing to fit."""
        return True

    def fit(self, texts: Sequence[str], labels: Any = None) -> "TextVectors":
        """Does nothing."""
        return self

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) float32, of norm 1 where the checkpoint says so."""
        return features_of(self._encoder, [valid_unicode(text) for text in texts])

    @property
    def has_unit_norm(self) -> bool:
        """Whether the checkpoint's vectors have norm 1."""
        return self._encoder.has_unit_norm


def words_and_vectors(checkpoint: str, texts: Sequence[str], words_weight: float) -> Pipeline:
    """Logistic regression on the vectors of a checkpoint and on TF-IDF, not fitted yet.

    Args:
        checkpoint: Of a text encoder, a folder or a Hub id.
        texts: What words are counted in, with or without labels; the more the better.
        words_weight: What TF-IDF is multiplied by, as `weight_beside` of the number of labels; 0 leaves it out.

    Raises:
        ValueError: The weight is below 0.

    Example:
        >>> words_and_vectors("out", ["a text"], 2.0)["features"].transformer_weights  # doctest: +SKIP
        {'words': 2.0}
    """
    if words_weight < 0:
        raise ValueError(f"words_weight is {words_weight}; it must be at least 0, which leaves the words out.")
    parts: list[tuple[str, Any]] = [("vectors", _vectors(checkpoint))]
    if words_weight:
        parts.append(("words", FrozenEstimator(TF_IDF.make_transformer().fit(texts))))
    weights = {"words": words_weight} if words_weight else None
    features = FeatureUnion(parts, transformer_weights=weights)
    return Pipeline([("features", features), ("classifier", _regression(words_weight))])


def choose_classifier(
    checkpoint: str, texts: Sequence[str], labels: Sequence[Any], unlabelled: Sequence[str] = ()
) -> Pipeline:
    """The pipeline whose weight of the words suits these labels best, fitted on all of them.

    Chosen by the log loss over folds of the labels. With fewer than three of some class there is nothing to choose by,
    and it is that of the few-label table (`weight_beside`).

    Args:
        checkpoint: As in `words_and_vectors`.
        texts: With a label each.
        labels: One a text.
        unlabelled: Further texts, whose words are counted.

    Raises:
        ValueError: There are not as many labels as texts, or labels of one class only.

    Example:
        >>> classifier = choose_classifier("out", texts, labels)  # doctest: +SKIP
        >>> classifier.predict(["is this a good film?"])  # doctest: +SKIP
    """
    classes, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(texts) != len(labels) or len(classes) < 2:
        raise ValueError(
            f"There are {len(texts)} texts, {len(labels)} labels and {len(classes)} classes; give a label for each "
            "text, and at least two classes."
        )
    everything, usual = [*texts, *unlabelled], weight_beside(len(labels) / len(classes))
    num_folds = min(_MOST_FOLDS, int(counts.min()))
    if num_folds < _LEAST_FOLDS:
        return words_and_vectors(checkpoint, everything, usual).fit(texts, labels)
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=0)
    vectors_ND = _vectors(checkpoint).fit_transform(texts)  # once: the words are cheap, they are not
    words_NE = TF_IDF.make_transformer().fit(everything).transform(texts)
    found = []
    for factor in _FACTORS:
        features = side_by_side(vectors_ND, words_NE, factor * usual) if factor else vectors_ND
        scores = cross_val_score(_regression(factor), features, labels, cv=folds, scoring="neg_log_loss")
        found.append(scores.mean())
    factor = _FACTORS[int(np.argmax(found))]
    return words_and_vectors(checkpoint, everything, factor * usual).fit(texts, labels)


def _vectors(checkpoint: str) -> Any:
    """Rows of norm 1, as the few-label table reads them: see `unit_rows`."""
    vectors = TextVectors(checkpoint)
    return vectors if vectors.has_unit_norm else make_pipeline(vectors, StandardScaler(), Normalizer())


def _regression(words_weight: float) -> LogisticRegression:
    return LogisticRegression(C=SIDE_BY_SIDE_C if words_weight else UNIT_NORM_C, max_iter=1000)
