"""Unlabelled examples used a second time, on features: labels spread over neighbours, or guessed and learnt from.

In the names: N examples of which M have a label, D features, C classes, K neighbours.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, diags, issparse
from scipy.sparse import vstack as sparse_vstack
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import normalize

from hf_unlab.evaluation.probes import fit_probe
from hf_unlab.evaluation.side_by_side import to_norm_1
from hf_unlab.few_labels.blending import Blend

SecondUse: TypeAlias = Literal["spreading", "self-training", "both"]
NUM_NEIGHBOURS, CLAMPING, NUM_SWEEPS = 10, 0.9, 60
NUM_ROUNDS = 3
# The square of how far two guesses agree, from which on self-training helps: on reviews, definitions, mails and digits
# it was 0.36 and more, and self-training added 2 to 6 points with 5 labels a class; on speeches by decade and groups
# of emoji it was 0.27 to 0.36, and self-training took 2.
LEAST_TRUST = 0.36
MOST_TRUST = 0.9  # what the labels say is never drowned
STUDENT_ITERATIONS = 60  # of guesses nothing is gained by a fit to the last digit
# How far the guesses are brought to classes of equal size, from 0 to 1: the labels are drawn so, and the unlabelled
# examples need not be.
EVENNESS = 0.5


def neighbour_graph(features: Sequence[Any], num_neighbours: int = NUM_NEIGHBOURS) -> csr_matrix | None:
    """Who is near whom, (N, N), normalised as Zhou et al. 2004 do ("Learning with local and global consistency").

    Args:
        features: Of each view those of all examples, (N, D); each view counts alike. Sparse ones, as of words, are
            left out: nearly all of them are at the same distance.
        num_neighbours: K; of two examples one has to be among the other's.

    Returns:
        None if there is no dense view, or only one example.

    Example:
        >>> graph = neighbour_graph([np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])], 1)
        >>> (graph.toarray() > 0).astype(int).tolist()
        [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    """
    dense = [to_norm_1(part) for part in features if not issparse(part)]
    if not dense or len(dense[0]) < 2:
        return None
    return graph_of(np.concatenate(dense, axis=1), num_neighbours)


def graph_of(features_ND: Any, num_neighbours: int = NUM_NEIGHBOURS) -> csr_matrix:
    """As `neighbour_graph`, of one view, dense or sparse, by the angle between rows.

    Args:
        features_ND: Two rows at least.
        num_neighbours: K.
    """
    num_neighbours = min(num_neighbours, features_ND.shape[0] - 1)
    distances = kneighbors_graph(normalize(features_ND), num_neighbours, mode="distance")
    scale = max(float(np.median(distances.data)), 1e-9)
    distances.data = np.exp(-((distances.data / scale) ** 2)) + 1e-9  # what is stored is near, though alike
    near = distances.maximum(distances.T)
    degrees = diags(np.asarray(near.sum(axis=1)).ravel() ** -0.5)
    return (degrees @ near @ degrees).tocsr()


def spread_labels(graph: csr_matrix, labelled_M: np.ndarray, labels_M: np.ndarray, num_classes: int) -> np.ndarray:
    """Label spreading: what class each example's neighbours, and theirs, are of, (N, C); rows sum to 1.

    Args:
        graph: As `neighbour_graph` makes it.
        labelled_M: Which examples have a label.
        labels_M: Theirs.
        num_classes: C.
    """
    begin_NC = np.zeros((graph.shape[0], num_classes))
    begin_NC[labelled_M, labels_M] = 1
    begin_NC /= np.maximum(begin_NC.sum(0), 1)
    found_NC = begin_NC
    for _ in range(NUM_SWEEPS):
        found_NC = CLAMPING * (graph @ found_NC) + (1 - CLAMPING) * begin_NC
    found_NC = found_NC + 1e-12
    found_NC /= found_NC.sum(1, keepdims=True)
    return evened(found_NC, np.unique(labels_M))


def evened(probabilities_NC: np.ndarray, classes: np.ndarray, evenness: float = EVENNESS) -> np.ndarray:
    """Brought part of the way to classes of equal size: (N, C), rows sum to 1.

    Args:
        probabilities_NC: Above 0.
        classes: Those that there are labels of; the others stay as they are.
        evenness: 0 changes nothing, with 1 all classes are of one size.

    Example:
        >>> evened(np.array([[0.9, 0.1], [0.8, 0.2]]), np.arange(2), evenness=1.0).mean(0).round(2).tolist()
        [0.5, 0.5]
    """
    even_NC = probabilities_NC
    for _ in range(20):
        share_C = np.ones(probabilities_NC.shape[1])
        share_C[classes] = 1 / (len(classes) * np.maximum(even_NC[:, classes].mean(0), 1e-12))
        even_NC = even_NC * share_C
        even_NC = even_NC / even_NC.sum(1, keepdims=True)
    between_NC = probabilities_NC ** (1 - evenness) * even_NC**evenness
    return between_NC / between_NC.sum(1, keepdims=True)


def learn_again(
    blend: Blend,
    features: Sequence[Any],
    labelled_M: np.ndarray,
    labels_M: np.ndarray,
    inverse_regularisations: Sequence[float],
    second_use: SecondUse = "both",
    graph: csr_matrix | None = None,
) -> Blend:
    """A blend that has learnt from guesses at the unlabelled examples, too.

    "spreading" guesses by label spreading, once. "self-training" guesses by the blend, in three rounds by ever more of
    the examples that it is surest of, as many of each class (Lee 2013, "Pseudo-Label"). "both" does the one and then
    the other, if the guesses can be trusted: what spreading and the blend say of the same examples tells how far. That
    is also how loud the guesses are: where the classes are hard to tell apart, guesses are wrong, and with many labels
    they have little to add.

    Args:
        blend: Fitted on the labels.
        features: Of each view those of all examples, (N, D).
        labelled_M: Which have a label.
        labels_M: Theirs.
        inverse_regularisations: As in `fit_blend`.
        second_use: How guesses are made.
        graph: Who is near whom; None: nothing is spread.

    Returns:
        Two or three times as many probes, those of the labels first.
    """
    num_examples = features[0].shape[0]
    unlabelled = np.setdiff1d(np.arange(num_examples), labelled_M)
    if not len(unlabelled):
        return blend
    cs = list(inverse_regularisations)
    classes, of_unlabelled = np.unique(labels_M), [part[unlabelled] for part in features]
    trust = 0.5
    if second_use != "self-training" and graph is not None:
        spread_UC = spread_labels(graph, labelled_M, labels_M, blend.num_classes)[unlabelled]
        guesses_UC = evened(blend.probabilities(of_unlabelled), classes)
        trust = min(MOST_TRUST, agreement(guesses_UC, spread_UC, len(classes)) ** 2)
        blend = _beside(blend, _student(blend, features, labelled_M, labels_M, cs, unlabelled, spread_UC), trust)
    if second_use == "self-training" or (second_use == "both" and trust >= LEAST_TRUST):
        student = blend
        for number in range(1, NUM_ROUNDS + 1):
            guesses_UC = evened(student.probabilities(of_unlabelled), classes)
            surest = _surest_of_each(guesses_UC, -(-number * len(unlabelled) // (NUM_ROUNDS * len(classes))))
            student = _student(blend, features, labelled_M, labels_M, cs, unlabelled[surest], guesses_UC[surest])
        blend = _beside(blend, student, trust)
    return blend


def agreement(one_UC: np.ndarray, other_UC: np.ndarray, num_classes: int) -> float:
    """How often two guesses are alike beyond what chance would give, from 0 to 1.

    Example:
        >>> one = np.eye(2)[[0, 0, 1, 1]]
        >>> agreement(one, one, 2), agreement(one, np.eye(2)[[0, 0, 1, 0]], 2), agreement(one, 1 - one, 2)
        (1.0, 0.5, 0.0)
    """
    alike = float((one_UC.argmax(1) == other_UC.argmax(1)).mean())
    return max(0.0, (alike - 1 / num_classes) / (1 - 1 / num_classes))


def _beside(blend: Blend, student: Blend, share: float) -> Blend:
    """Both, the student with its share of the say."""
    weights_V = np.concatenate([(1 - share) * blend.weights_V, share * student.weights_V])
    return replace(blend, probes=(*blend.probes, *student.probes), weights_V=weights_V)


def _surest_of_each(guesses_UC: np.ndarray, num_per_class: int) -> np.ndarray:
    """Of each class the examples that are surest to be of it."""
    classes_U, surety_U = guesses_UC.argmax(1), guesses_UC.max(1)
    chosen = []
    for number in np.unique(classes_U):
        of_class = np.flatnonzero(classes_U == number)
        chosen.append(of_class[np.argsort(-surety_U[of_class], kind="stable")][:num_per_class])
    return np.concatenate(chosen)


def _student(
    blend: Blend,
    features: Sequence[Any],
    labelled_M: np.ndarray,
    labels_M: np.ndarray,
    cs: Sequence[float],
    guessed: np.ndarray,
    guesses_UC: np.ndarray,
) -> Blend:
    """Probes of labels and guesses, a guess counting by how sure it is."""
    all_labels = np.concatenate([labels_M, guesses_UC.argmax(1)])
    weights = np.concatenate([np.ones(len(labels_M)), guesses_UC.max(1)])
    probes = []
    for part, c in zip(features, cs, strict=True):
        stack = sparse_vstack if issparse(part) else np.concatenate
        learnt_from = stack([part[labelled_M], part[guessed]])
        probes.append(fit_probe(learnt_from, all_labels, None, c, weights, max_iterations=STUDENT_ITERATIONS))
    first_V = blend.weights_V[: len(probes)]
    return replace(blend, probes=tuple(probes), weights_V=first_V / first_V.sum())
