"""Labels spread over neighbours as scikit-learn's closed form has it; guesses that help, and do no harm."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hf_unlab.few_labels.blending import fit_blend
from hf_unlab.few_labels.unlabelled import CLAMPING, evened, learn_again, neighbour_graph, spread_labels

TRUTH = np.repeat([0, 1], 60)


def two_moons(seed: int = 0) -> np.ndarray:
    angle = np.random.default_rng(seed).random(120) * np.pi
    x = np.where(TRUTH == 0, np.cos(angle), 1 - np.cos(angle))
    y = np.where(TRUTH == 0, np.sin(angle), 0.5 - np.sin(angle))
    # rows are compared by direction: a third coordinate keeps the plane
    return np.stack([x, y, np.full(120, 1.5)], axis=1) + 0.03 * np.random.default_rng(seed + 1).normal(size=(120, 3))


def test_spreading_is_what_the_closed_form_gives():
    graph = neighbour_graph([two_moons()])
    labelled = np.array([3, 70])
    begin = np.zeros((120, 2))
    begin[labelled, [0, 1]] = 1
    exact = np.linalg.solve(np.eye(120) - CLAMPING * graph.toarray(), begin)
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(
        spread_labels(graph, labelled, np.array([0, 1]), 2), evened(exact, np.arange(2)), atol=0.01
    )


def test_the_graph_is_symmetric_and_normalised_and_of_dense_views_alone():
    graph = neighbour_graph([two_moons(), csr_matrix(two_moons())], 5)
    same = neighbour_graph([two_moons()], 5)
    assert (graph != same).nnz == 0 and abs(graph - graph.T).max() < 1e-12
    assert np.abs(np.linalg.eigvalsh(graph.toarray())).max() <= 1 + 1e-9
    assert neighbour_graph([csr_matrix(two_moons())]) is None and neighbour_graph([two_moons()[:1]]) is None
    alike = neighbour_graph([np.ones((6, 3))], 2)  # copies of one example are near, and divide nothing by 0
    assert np.isfinite(alike.toarray()).all() and alike.nnz


@pytest.mark.parametrize("second_use", ["spreading", "self-training", "both"])
def test_moons_are_told_apart_from_a_label_each(second_use):
    features, labelled = [two_moons()], np.array([10, 110])
    blend = fit_blend([features[0][labelled]], TRUTH[labelled], 2, [1.0], [1.0])
    graph = neighbour_graph(features)
    before = (blend.probabilities(features).argmax(1) == TRUTH).mean()
    after = learn_again(blend, features, labelled, TRUTH[labelled], [1.0], second_use, graph)
    right = (after.probabilities(features).argmax(1) == TRUTH).mean()
    assert right >= before and np.isclose(after.weights_V.sum(), 1)
    assert len(after.probes) == 2  # "both" spreads alone here, where the blend and the neighbours hardly agree


def test_both_come_one_behind_the_other_where_guesses_can_be_trusted():
    features, labelled = [two_moons()], np.arange(0, 120, 6)
    blend = fit_blend([features[0][labelled]], TRUTH[labelled], 2, [1.0], [1.0])
    after = learn_again(blend, features, labelled, TRUTH[labelled], [1.0], "both", neighbour_graph(features))
    assert len(after.probes) == 3 and after.weights_V[0] < blend.weights_V[0]


def test_spreading_finds_what_a_straight_line_does_not():
    graph, labelled = neighbour_graph([two_moons()]), np.array([10, 30, 75, 110])
    guesses = spread_labels(graph, labelled, TRUTH[labelled], 2)
    blend = fit_blend([two_moons()[labelled]], TRUTH[labelled], 2, [1.0], [1.0])
    straight = (blend.probabilities([two_moons()]).argmax(1) == TRUTH).mean()
    assert (guesses.argmax(1) == TRUTH).mean() > straight


def test_with_nothing_unlabelled_and_with_sparse_views():
    labelled = np.arange(120)
    features = [csr_matrix(two_moons())]
    blend = fit_blend(features, TRUTH, 2, [1.0], [1.0])
    assert learn_again(blend, features, labelled, TRUTH, [1.0]) is blend
    few = np.array([3, 20, 70, 110])
    blend = fit_blend([features[0][few]], TRUTH[few], 2, [1.0], [1.0])
    assert len(learn_again(blend, features, few, TRUTH[few], [1.0]).probes) == 2  # no graph of sparse rows


def test_classes_of_unlike_size_are_evened_by_half():
    given = np.tile([0.9, 0.1, 1e-9], (50, 1))
    np.testing.assert_allclose(evened(given, np.array([0, 1]), 0.0), given / given.sum(1, keepdims=True))
    assert evened(given, np.array([0, 1]), 1.0)[0, 0] == pytest.approx(0.5, abs=1e-3)
    assert 0.5 < evened(given, np.array([0, 1]))[0, 0] < 0.9


def test_guesses_that_agree_on_everything_leave_the_labels_their_say():
    blobs = 10 * np.eye(2)[TRUTH] + 0.1 * np.random.default_rng(0).normal(size=(120, 2))
    labelled = np.array([0, 1, 60, 61])
    blend = fit_blend([blobs[labelled]], TRUTH[labelled], 2, [1.0], [1.0])
    after = learn_again(blend, [blobs], labelled, TRUTH[labelled], [1.0], "both", neighbour_graph([blobs]))
    assert len(after.probes) == 3 and np.isfinite(after.weights_V).all() and after.weights_V[0] > 0
    assert (after.probabilities([blobs]).argmax(1) == TRUTH).all()
