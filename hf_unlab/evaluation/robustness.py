"""How much a model loses when its inputs are perturbed in ways that leave their meaning as it is.

In the names: N examples, D features.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hf_unlab.evaluation.measures.neighbours import neighbour_stability
from hf_unlab.evaluation.uncertainty import paired_difference

NUM_NEIGHBOURS = 10


def drops(
    features_of: Callable[[Sequence[Any]], np.ndarray],
    classify: Callable[[np.ndarray], np.ndarray] | None,
    inputs: Sequence[Any],
    labels_N: np.ndarray | None,
    perturbations: Mapping[str, Callable[[Any, np.random.Generator], Any]],
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Accuracy on perturbed inputs beside that on the same inputs as they are, and how many neighbours stay.

    What befalls an input depends on the seed, the name of the perturbation and the input's place alone: it stays the
    same when others are added.

    Args:
        features_of: From inputs to features, (N, D).
        classify: From features to classes, (N,): a probe that was fitted on other inputs. None without labels.
        inputs: N decoded inputs; they are left as they are.
        labels_N: Their classes, (N,). None: only the neighbours are looked at.
        perturbations: By name, such as a modality's.
        seed: From 0 on.

    Returns:
        For each perturbation `neighbour_stability`, and with labels `accuracy` (on perturbed inputs), `drop` (what it
        is lower by; below 0 where it is higher) and `drop_low`, `drop_high` (the drop's interval, of inputs in pairs).

    Raises:
        ValueError: There are fewer than two inputs, one of classify and labels is missing, or there are not as many
            labels as inputs.

    Example:
        >>> def lengths(texts):
        ...     return np.array([[len(text), text.count("!")] for text in texts], dtype=np.float64)
        >>> texts, labels = ["Yes!", "No", "Oh!", "Well"], np.array([1, 0, 1, 0])
        >>> without = {"no_marks": lambda text, rng: text.replace("!", "")}
        >>> found = drops(lengths, lambda features: (features[:, 1] > 0).astype(int), texts, labels, without)
        >>> found["no_marks"]["accuracy"], found["no_marks"]["drop"]
        (0.5, 0.5)
    """
    _check(classify, len(inputs), labels_N)
    features_ND = features_of(inputs)
    is_right_N = None if classify is None else classify(features_ND) == np.asarray(labels_N)
    result: dict[str, dict[str, float]] = {}
    for name, perturb in perturbations.items():
        key = zlib.crc32(name.encode())
        changed = [perturb(one, np.random.default_rng([seed, key, i])) for i, one in enumerate(inputs)]
        changed_ND = features_of(changed)
        found: dict[str, float] = {}
        if classify is not None and is_right_N is not None:
            is_still_right_N = classify(changed_ND) == np.asarray(labels_N)
            drop = paired_difference(is_right_N[None], is_still_right_N[None])
            found["accuracy"] = float(is_still_right_N.mean())
            found |= {"drop": float(drop.mean), "drop_low": float(drop.low), "drop_high": float(drop.high)}
        k = min(NUM_NEIGHBOURS, len(inputs) - 1)
        result[name] = {**found, "neighbour_stability": float(neighbour_stability(features_ND, changed_ND, k=k))}
    return result


def _check(classify: Any, num_inputs: int, labels_N: np.ndarray | None) -> None:
    if num_inputs < 2:
        raise ValueError(f"There are {num_inputs} inputs; give at least two, else none has a neighbour.")
    if (classify is None) != (labels_N is None):
        given, missing = ("labels_N", "classify") if classify is None else ("classify", "labels_N")
        raise ValueError(f"{given} is given without {missing}; give both, or neither to look at neighbours alone.")
    if labels_N is not None and np.shape(labels_N) != (num_inputs,):
        raise ValueError(f"Labels have shape {np.shape(labels_N)} for {num_inputs} inputs; give one label an input.")
