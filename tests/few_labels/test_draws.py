"""The proof table: draws, scores, statistics, and the three ways it is written down."""

import json

import numpy as np
import pytest

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.metrics import Accuracy
from hf_unlab.few_labels.draws import Candidate, draw_few, few_label_table
from hf_unlab.few_labels.table import FewLabelRow, FewLabelTable

POOL = np.repeat(np.arange(4), 60)
TEST = np.tile(np.arange(4), 100)


def oracle(indices: np.ndarray, seed: int) -> np.ndarray:
    return TEST


def guess(indices: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, len(indices)]).integers(0, 4, len(TEST))


def example_table(name: str = "pretrained", counts: tuple[int, ...] = (5, 10, 50)) -> FewLabelTable:
    rng = np.random.default_rng(0)
    rows = tuple(
        FewLabelRow(row_name, method, {n: tuple(rng.uniform(size=3).tolist()) for n in counts})
        for row_name, method in ((name, "linear probe"), (name, "fine-tuned"), ("TF-IDF", "logistic regression"))
    )
    return FewLabelTable(rows, (0, 1, 2), num_classes=4, chance=0.25, num_test=1234, num_overlapping=7, task="toy")


def test_draws_are_balanced_nested_and_seeded() -> None:
    labels = np.random.default_rng(0).permutation(POOL)
    draws = {n: draw_few(labels, n, seed=3) for n in (5, 10, 50)}
    for n, indices in draws.items():
        assert len(set(indices.tolist())) == 4 * n
        assert np.bincount(labels[indices]).tolist() == [n] * 4
    assert set(draws[5]) < set(draws[10]) < set(draws[50])
    np.testing.assert_array_equal(draws[5], draw_few(labels, 5, seed=3))
    assert set(draws[5]) != set(draw_few(labels, 5, seed=4))


def test_too_few_labels_are_named() -> None:
    labels = np.array([0] * 9 + [1] * 3 + [2] * 4)
    with pytest.raises(ValueError, match=r"class 1 has 3, class 2 has 4\. Ask for at most 3"):
        draw_few(labels, 5, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        draw_few(labels, 0, seed=0)


def test_checks_come_before_any_work() -> None:
    calls: list[int] = []
    candidate = Candidate("spy", "none", lambda indices, seed: calls.append(seed) or TEST)
    with pytest.raises(ValueError, match="Ask for at most 60"):
        few_label_table([candidate], POOL, TEST, (5, 61))
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


def test_json_round_trip(tmp_path) -> None:
    table = example_table()
    assert FewLabelTable.from_json(table.to_json()) == table
    table.save(tmp_path / "new" / "few_label.json")
    assert FewLabelTable.from_json((tmp_path / "new" / "few_label.json").read_text(encoding="utf-8")) == table
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["few_label.json"]
    content = json.loads(table.to_json())
    assert content["rows"][0]["mean"]["5"] == pytest.approx(table.rows[0].mean(5))
    assert (content["num_overlapping"], content["chance"], content["seeds"]) == (7, 0.25, [0, 1, 2])


def test_from_json_refuses_other_content() -> None:
    with pytest.raises(ValueError, match="format_version is None"):
        FewLabelTable.from_json("{}")
    broken = json.loads(example_table().to_json())
    del broken["seeds"]
    with pytest.raises(ValueError, match="lacks the key 'seeds'"):
        FewLabelTable.from_json(json.dumps(broken))


def test_failed_save_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "few_label.json"
    example_table().save(path)
    before = path.read_bytes()
    bad = FewLabelTable((FewLabelRow("nan", "x", {5: (float("nan"),)}),), (0,), 2, 0.5, 10)
    with pytest.raises(ValueError):
        bad.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("width", [50, 80, 100])
@pytest.mark.parametrize("counts", [(5,), (5, 10, 50), (1, 2, 5, 10, 20, 50, 100)])
def test_render_fits_and_shows_every_number(width: int, counts: tuple[int, ...]) -> None:
    table = example_table("a model with quite a long name that says where it comes from", counts)
    text = table.render(width)
    assert max(map(len, text.splitlines())) <= width
    for row in table.rows:
        for n in counts:
            assert f"{100 * row.mean(n):.1f} ± {100 * row.std(n):.1f}" in text
    assert text.count("*") == len(counts) + 1  # one best a column, and the note
    assert "left out" in text


def test_best_is_marked_and_ties_are_shared() -> None:
    values = {"a": 0.80001, "b": 0.80002, "c": 0.7}
    rows = tuple(FewLabelRow(name, "x", {5: (value, value)}) for name, value in values.items())
    table = FewLabelTable(rows, (0, 1), 2, 0.5, 100)
    assert [table.is_best(row, 5) for row in rows] == [True, True, False]
    assert table.to_markdown().count("**80.0 ± 0.0**") == 2
    with pytest.raises(ValueError, match="at least 50"):
        table.render(20)


def test_one_seed_shows_no_spread() -> None:
    table = few_label_table([Candidate("oracle", "x", oracle)], POOL, TEST, (5,), seeds=(0,))
    assert "±" not in table.render() + table.to_markdown()
    assert "*100.0" in table.render()


def test_labelled_data_checks_and_takes() -> None:
    data = LabelledData(["a", "b", "c"], np.array([0, 1, 0]), ("no", "yes"))
    assert data.take(np.array([2, 1])).inputs == ["c", "b"]
    assert data.take(np.array([], dtype=int)).labels.shape == (0,)
    assert len(data) == 3
    with pytest.raises(ValueError, match="3 inputs but 2 labels"):
        LabelledData(["a", "b", "c"], np.array([0, 1]), ("no", "yes"))
    with pytest.raises(ValueError, match="2 label_names allow 0 to 1"):
        LabelledData(["a"], np.array([2]), ("no", "yes"))
    with pytest.raises(ValueError, match="whole numbers"):
        LabelledData(["a"], np.array([0.5]), ("no", "yes"))
    with pytest.raises(ValueError, match="flatnonzero"):
        data.take(np.array([True, False, True]))


def test_accuracy_writes_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    metric = Accuracy()
    assert metric.compute(predictions=np.array([0, 1, 2, 3]), references=np.array([0, 1, 2, 0])) == {"accuracy": 0.75}
    assert metric.compute(predictions=[1], references=[1]) == {"accuracy": 1.0}  # it can be used again
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
