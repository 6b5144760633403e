"""Draws of a few labels, and the table that candidates fill."""

import numpy as np
import pytest

from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.sampling import rare_classes, sample_few_labels
from hf_unlab.few_labels.table import FewLabelTable

POOL = np.repeat(np.arange(4), 60)
TEST = np.tile(np.arange(4), 100)


def oracle(indices: np.ndarray, seed: int) -> np.ndarray:
    return TEST


def guess(indices: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, len(indices)]).integers(0, 4, len(TEST))


def test_draws_are_balanced_nested_and_seeded() -> None:
    labels = np.random.default_rng(0).permutation(POOL)
    draws = {n: sample_few_labels(labels, n, seed=3) for n in (5, 10, 50)}
    for n, indices in draws.items():
        assert len(set(indices.tolist())) == 4 * n
        assert np.bincount(labels[indices]).tolist() == [n] * 4
    assert set(draws[5]) < set(draws[10]) < set(draws[50])
    np.testing.assert_array_equal(draws[5], sample_few_labels(labels, 5, seed=3))
    assert set(draws[5]) != set(sample_few_labels(labels, 5, seed=4))


def test_of_rare_classes_all_are_drawn_and_of_the_others_the_same_as_without() -> None:
    labels = np.array([0] * 9 + [1] * 3 + [2] * 5 + [4] * 60)
    draws = {n: sample_few_labels(labels, n, seed=3) for n in (2, 5, 50)}
    assert [np.bincount(labels[draws[n]]).tolist() for n in draws] == [
        [2, 2, 2, 0, 2],
        [5, 3, 5, 0, 5],
        [9, 3, 5, 0, 50],
    ]
    assert set(draws[2]) < set(draws[5]) < set(draws[50])
    for n, indices in draws.items():
        common = np.flatnonzero(labels == 4)
        assert indices[-min(n, 60) :].tolist() == np.random.default_rng([3, 4]).permutation(common)[:n].tolist()
    assert rare_classes(labels, 9) == {"1": 3, "2": 5}
    assert rare_classes(labels, 5, "abcde") == {"b": 3}
    with pytest.raises(ValueError, match="at least 1"):
        sample_few_labels(labels, 0, seed=0)


def test_the_table_names_rare_classes_and_how_many_there_are() -> None:
    labels = np.array([0] * 60 + [1] * 3 + [2] * 12)
    candidates = [Candidate("spy", "x", lambda indices, seed: np.array([0, 1, 2]))]
    table = few_label_table(candidates, labels, np.array([0, 1, 2]), (1, 50), label_names=("horse", "okapi", "zebra"))
    assert table.rare_classes == {"okapi": 3, "zebra": 12}
    assert few_label_table(candidates, labels, np.array([0, 1, 2]), (1, 3)).rare_classes == {}
    assert few_label_table(candidates, labels, np.array([0, 1, 2]), (1, 5)).rare_classes == {"1": 3}


def test_checks_come_before_any_work() -> None:
    calls: list[int] = []
    candidate = Candidate("spy", "none", lambda indices, seed: calls.append(seed) or TEST)
    with pytest.raises(ValueError, match="number of labels a class is 0"):
        few_label_table([candidate], POOL, TEST, (5, 0))
    with pytest.raises(ValueError, match="A seed is -1"):
        few_label_table([candidate], POOL, TEST, seeds=(0, -1))
    with pytest.raises(ValueError, match=r"pool lacks: \[9\]"):
        few_label_table([candidate], POOL, np.array([0, 9]))
    with pytest.raises(ValueError, match="rename one"):
        few_label_table([candidate, candidate], POOL, TEST)
    with pytest.raises(ValueError, match="No seed"):
        few_label_table([candidate], POOL, TEST, seeds=())
    with pytest.raises(ValueError, match="neither may be empty"):
        few_label_table([candidate], POOL, TEST[:0])
    assert calls == []


def test_wrong_number_of_predictions() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) for 400"):
        few_label_table([Candidate("short", "none", lambda indices, seed: TEST[:3])], POOL, TEST)


def test_oracle_is_perfect_and_guessing_is_chance() -> None:
    progress: list[tuple[str, int, int]] = []
    candidates = [Candidate("oracle", "x", oracle), Candidate("guess", "x", guess)]
    table = few_label_table(candidates, POOL, TEST, on_progress=lambda *step: progress.append(step))
    assert table.chance == 0.25
    assert table.num_test == len(TEST)
    assert [table.rows[0].mean(n) for n in (5, 10, 50)] == [1.0] * 3
    assert [table.rows[0].std(n) for n in (5, 10, 50)] == [0.0] * 3
    bound = 5 * np.sqrt(0.25 * 0.75 / len(TEST))  # five standard deviations of a binomial share
    assert all(abs(score - 0.25) < bound for n in (5, 10, 50) for score in table.rows[1].accuracies[n])
    assert [step[1] for step in progress] == list(range(18))
    assert {step[2] for step in progress} == {18}


def test_every_candidate_sees_the_same_draws() -> None:
    seen: dict[str, list[list[int]]] = {"a": [], "b": []}

    def spy(name: str) -> Candidate:
        return Candidate(name, "spy", lambda indices, seed: seen[name].append(indices.tolist()) or TEST)

    few_label_table([spy("a"), spy("b")], POOL, TEST)
    assert seen["a"] == seen["b"]
    assert len(seen["a"]) == 9


def test_statistics_equal_numpys() -> None:
    table = few_label_table([Candidate("guess", "x", guess)], POOL, TEST, (5, 10), seeds=(3, 1, 4, 5))
    for n in (5, 10):
        scores = [(guess(np.arange(4 * n), seed) == TEST).mean() for seed in (3, 1, 4, 5)]
        np.testing.assert_allclose(table.rows[0].accuracies[n], scores, rtol=1e-12)
        assert table.rows[0].mean(n) == pytest.approx(np.mean(scores))
        assert table.rows[0].std(n) == pytest.approx(np.std(scores, ddof=1))
    assert FewLabelRow("one", "seed", {5: (0.7,)}).std(5) == 0.0


def test_one_seed_shows_no_spread() -> None:
    table = few_label_table([Candidate("oracle", "x", oracle)], POOL, TEST, (5,), seeds=(0,))
    assert "±" not in table.render() + table.to_markdown()
    assert "*100.0" in table.render()


def test_probabilities_may_be_returned_and_their_calibration_is_told() -> None:
    def sure(indices: np.ndarray, seed: int) -> np.ndarray:
        return np.eye(4)[TEST] * 0.6 + 0.1

    table = few_label_table([Candidate("sure", "x", sure), Candidate("oracle", "x", oracle)], POOL, TEST, (5, 10))
    assert [row.mean(5) for row in table.rows] == [1.0, 1.0] and table.measures == ("accuracy",)
    assert table.rows[0].mean(5, "calibration_error") == pytest.approx(0.3)
    for said in (table.render(), table.to_markdown()):
        assert "Calibration error in % with 10 labels a class: sure 30.0." in said
    assert FewLabelTable.from_json(table.to_json()) == table
    skewed = few_label_table([Candidate("sure", "x", sure)], POOL, np.where(TEST == 1, 0, TEST), (5,))
    assert skewed.measures == ("accuracy", "balanced_accuracy", "macro_f1")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.full((400, 3), 1 / 3), "classes go up to 3"),
        (np.full((400, 4), 0.5), "no probabilities"),
        (np.full((400, 4), np.nan), "no probabilities"),
        (np.ones((400, 4, 1)), r"shape \(400, 4, 1\) for 400"),
    ],
)
def test_what_are_no_probabilities_is_refused_with_the_name_of_the_candidate(returned, message) -> None:
    with pytest.raises(ValueError, match=rf"odd \(x\) returned predictions.*{message}"):
        few_label_table([Candidate("odd", "x", lambda indices, seed: returned)], POOL, TEST, (5,))
