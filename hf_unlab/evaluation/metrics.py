"""The measures of the proof, as `evaluate` modules that need neither the network nor a cache folder."""

import tempfile
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from hf_unlab.evaluation.retrieval import recall_at
from hf_unlab.streams.extras import of_extras


class _InMemory(evaluate.Metric):
    def __init__(self) -> None:
        # evaluate makes its cache folder even if it will not write there; give it one that goes away again.
        with tempfile.TemporaryDirectory() as folder:
            super().__init__(keep_in_memory=True, cache_dir=folder, seed=0)


class Accuracy(_InMemory):
    """Share of predictions that equal their reference.

    `evaluate.load("accuracy")` fetches a script from the Hub; this class is made directly and keeps its data in
    memory.

    Example:
        >>> Accuracy().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
        {'accuracy': 0.75}
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of predictions that equal their reference.",
            citation="",
            inputs_description="predictions: class indices. references: class indices.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(np.mean(np.asarray(predictions) == np.asarray(references)))}


class RetrievalRecall(_InMemory):
    """`recall_at` as an `evaluate` module, which can be filled batch by batch.

    evaluate hands vectors on as lists of Python numbers: beyond some 10,000 pairs call `recall_at` itself.

    Args:
        ks: As in `recall_at`.

    Example:
        >>> metric = RetrievalRecall(ks=(1,))
        >>> metric.add_batch(image_features=np.eye(2), text_features=np.eye(2), captions=["cat", "dog"])
        >>> metric.compute()
        {'image_to_text_R@1': 1.0, 'text_to_image_R@1': 1.0}
    """

    def __init__(self, ks: Sequence[int] = (1, 5, 10)) -> None:
        super().__init__()
        self.ks = tuple(ks)

    def _info(self) -> evaluate.MetricInfo:
        vector = datasets.Sequence(datasets.Value("float32"))
        columns = {"image_features": vector, "text_features": vector, "captions": datasets.Value("string")}
        return evaluate.MetricInfo(
            description="Recall@k of image-text pairs, both ways.",
            citation="",
            inputs_description="image_features, text_features: vectors; row i of each is a pair. captions: the texts.",
            features=datasets.Features(columns),
        )

    def _compute(
        self, image_features: list[list[float]], text_features: list[list[float]], captions: list[str]
    ) -> dict[str, float]:
        return recall_at(np.asarray(image_features), np.asarray(text_features), self.ks, captions)


class ErrorRates(_InMemory):
    """Character and word error rate over all utterances together: edits by characters (words) of the references.

    What is heard where the reference is empty counts as insertions, for inventing words is an error, too.

    Example:
        >>> ErrorRates().compute(predictions=["a bat", "x"], references=["a cat", ""])
        {'cer': 0.4, 'wer': 1.0}
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Character and word error rate.",
            citation="",
            inputs_description="predictions: transcripts. references: the right ones.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        if not any(reference.strip() for reference in references):
            raise ValueError("All references are empty, so there is no error rate: give some that hold words.")
        with of_extras():
            import jiwer
        return {"cer": float(jiwer.cer(references, predictions)), "wer": float(jiwer.wer(references, predictions))}


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """`ErrorRates` of hypotheses.

    Example:
        >>> error_rates(["a cat"], ["a cut"])
        {'cer': 0.2, 'wer': 0.5}
    """
    return ErrorRates().compute(predictions=list(hypotheses), references=list(references))
