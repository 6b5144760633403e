"""What the answers of a table's rows are worth, and which row is really ahead.

In the names: S seeds (draws), N test examples of all parts.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hf_unlab.evaluation.measures.classification import classification_scores, expected_calibration_error
from hf_unlab.evaluation.uncertainty import accuracy_interval, paired_difference
from hf_unlab.few_labels.rows import FewLabelRow

# labels a class -> seed -> part -> predicted classes (N,), or their probabilities (N, C)
Answers = Mapping[int, Sequence[Sequence[np.ndarray]]]


def score_rows(
    names: Sequence[tuple[str, str]], answers: Sequence[Answers], truths: Sequence[np.ndarray]
) -> tuple[FewLabelRow, ...]:
    """The rows of a table.

    Args:
        names: Name and method of each.
        answers: What each predicted.
        truths: The right classes, part by part.

    Returns:
        Rows with their scores, the interval of their mean accuracy, and how far behind the best of its column each is.

    Example:
        >>> (row,) = score_rows([("x", "y")], [{5: [[np.array([0, 1])], [np.array([1, 1])]]}], [np.array([0, 1])])
        >>> row.accuracies, row.behind[5]
        ({5: (1.0, 0.5)}, (0.0, 0.0, 0.0))
    """
    groups = np.concatenate([np.full(len(truth), number) for number, truth in enumerate(truths)])
    clusters = groups if len(truths) > 1 else None  # examples of one speaker err together
    is_right = [{count: _is_right(by_seed, truths) for count, by_seed in one.items()} for one in answers]
    means = [{count: float(right_SN.mean()) for count, right_SN in one.items()} for one in is_right]
    rows = []
    for (name, method), one, right in zip(names, answers, is_right, strict=True):
        scores = {
            count: [
                _scores(answer, truth) for by_part in by_seed for answer, truth in zip(by_part, truths, strict=True)
            ]
            for count, by_seed in one.items()
        }
        columns = {
            measure: {count: tuple(score[measure] for score in of_count) for count, of_count in scores.items()}
            for measure in next(iter(scores.values()))[0]
        }
        intervals, behind = {}, {}
        for count, right_SN in right.items():
            around = accuracy_interval(right_SN, groups=clusters)
            intervals[count] = around.low, around.high
            best_SN = is_right[max(range(len(means)), key=lambda i: means[i][count])][count]
            if best_SN is right_SN:
                behind[count] = 0.0, 0.0, 0.0
            else:
                gap = paired_difference(best_SN, right_SN, groups=clusters)
                behind[count] = gap.low, gap.mean, gap.high
        rows.append(FewLabelRow(name, method, columns.pop("accuracy"), columns, intervals, behind))
    return tuple(rows)


def _is_right(by_seed: Sequence[Sequence[np.ndarray]], truths: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each answer is right, (S, N)."""
    truth_N = np.concatenate(truths)
    return np.stack([np.concatenate([*map(_classes, by_part)]) == truth_N for by_part in by_seed])


def _classes(answer: np.ndarray) -> np.ndarray:
    return answer.argmax(1) if answer.ndim == 2 else answer


def _scores(answer: np.ndarray, truth_N: np.ndarray) -> dict[str, float]:
    """Of classes what is right of them; of probabilities also how well they know it."""
    scores = classification_scores(_classes(answer), truth_N)
    if answer.ndim == 1:
        return scores
    # of a class that was ruled out the loss would be infinite; what float32 can tell from 0 is enough
    told_N = np.clip(answer[np.arange(len(truth_N)), truth_N].astype(np.float64), 1e-7, 1)
    calibration = expected_calibration_error(answer, truth_N)
    return {**scores, "calibration_error": calibration, "log_loss": float(-np.log(told_N).mean())}
