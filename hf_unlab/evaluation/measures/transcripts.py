"""Error rates of transcripts."""

from collections.abc import Sequence
from typing import ClassVar

import datasets

from hf_unlab.evaluation.measures.base import InMemory
from hf_unlab.streams.extras import of_extras


class ErrorRates(InMemory):
    """Character and word error rate over all utterances together: edits by characters (words) of the references.

    What is heard where the reference is empty counts as insertions, for inventing words is an error, too.

    Example:
        >>> ErrorRates().compute(predictions=["a bat", "x"], references=["a cat", ""])
        {'cer': 0.4, 'wer': 1.0}
    """

    description = "Character and word error rate: edits by characters (words) of the references."
    columns: ClassVar = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        return error_rates(references, predictions)


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Character and word error rate of hypotheses.

    Raises:
        ValueError: All references are empty.

    Example:
        >>> error_rates(["a cat"], ["a cut"])
        {'cer': 0.2, 'wer': 0.5}
    """
    if not any(reference.strip() for reference in references):
        raise ValueError("All references are empty, so there is no error rate: give some that hold words.")
    with of_extras():
        import jiwer
    references, hypotheses = list(references), list(hypotheses)
    return {"cer": float(jiwer.cer(references, hypotheses)), "wer": float(jiwer.wer(references, hypotheses))}
