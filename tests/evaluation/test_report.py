"""What is said of a model: with labels, without, and of two beside one another."""

import json

import numpy as np
import pytest

from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.report import Evaluation, ahead_of, evaluate, neighbours_to_look_at, reliability, split

RNG = np.random.default_rng(0)


def rows(num: int = 400, apart: float = 2.0, seed: int = 0, **columns) -> Embeddings:
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 3
    features = (rng.normal(size=(num, 6)) + apart * np.eye(6)[labels]).astype(np.float32)
    hashes = [int(value) for value in np.random.default_rng(9).integers(0, 2**63, num)]
    names = [["cat", "dog", "owl"][label] for label in labels]
    return Embeddings(features, {"content_hash": hashes, "label": names, "row": list(range(num)), **columns})


def test_with_labels() -> None:
    data = rows(kind=[f"kind {i % 2}" for i in range(400)])
    parts = split(data)
    assert len(parts.pool) + len(parts.test) == 400 and parts.label_names == ("cat", "dog", "owl")
    assert not set(parts.pool.columns["content_hash"]) & set(parts.test.columns["content_hash"])
    found = evaluate("out", data, parts, slices="kind")
    assert found.with_labels["probe_accuracy"] > 0.7 and found.without_labels["effective_rank"] > 1
    low, mean, high = found.interval
    assert low < mean < high and mean == pytest.approx(found.with_labels["probe_accuracy"])
    assert {group.name for group in found.slices.groups} == {"kind 0", "kind 1"}
    assert "by the hash of their content" in " ".join(found.notes)
    assert 0 <= reliability(found) == found.with_labels["probe_calibration_error"]
    content = json.loads(json.dumps(found.to_dict()))
    assert content["num_test"] == len(parts.test) and content["slices"]["worst"]
    with pytest.raises(ValueError, match="no column 'speaker'"):
        evaluate("out", data, parts, slices="speaker")


def test_without_labels() -> None:
    data = Embeddings(rows().features, {"content_hash": [1] * 400})
    found = evaluate("out", data)
    assert (
        found.with_labels == {} and found.interval is None and set(found.to_dict()) >= {"without_labels", "num_rows"}
    )
    with pytest.raises(ValueError, match="has no labels"):
        split(data)


def test_test_data_is_held_against_the_training_data() -> None:
    pool, test = rows(90), rows(60, seed=1)
    test.columns["content_hash"][:] = [*pool.columns["content_hash"][:5], *range(55)]
    test.columns["label"][59] = None
    parts = split(pool, test)
    assert len(parts.test) == 54
    assert parts.notes == (
        "5 test rows are in the training data as well, and are left out.",
        "1 rows without label are left out.",
    )
    with pytest.raises(ValueError, match="There are 90 rows to learn from and 0 to test on"):
        split(pool, pool)
    test.columns["label"][0] = test.columns["label"][10] = "emu"
    with pytest.raises(ValueError, match="labels that the training data lacks: emu"):
        split(pool, test)


def test_two_models_are_compared_on_the_same_rows_alone() -> None:
    good, bad, other = rows(), rows(apart=0.3, seed=1), rows(300)
    found = {name: evaluate(name, one, split(one)) for name, one in (("good", good), ("bad", bad), ("other", other))}
    gap = ahead_of(found["good"], found["bad"])
    assert gap.low > 0.1 and ahead_of(found["bad"], found["good"]).high < -0.1
    assert ahead_of(found["good"], found["other"]) is None
    assert ahead_of(found["good"], Evaluation("x", 1, 1, {})) is None


def test_neighbours_are_shown_by_their_glimpses_or_rows() -> None:
    data = rows(30, preview=[f"text {i}" for i in range(30)])
    shown = neighbours_to_look_at(data, num_queries=4, num_neighbours=3)
    assert len(shown) == 4 and all(len(near) == 3 for _, near in shown)
    for query, near in shown:
        assert query not in [text for _, text in near] and query.startswith("text ")
        assert [cosine for cosine, _ in near] == sorted([cosine for cosine, _ in near], reverse=True)
    del data.columns["preview"]
    assert neighbours_to_look_at(data)[0][0].startswith("row ")
    assert neighbours_to_look_at(rows(2), num_neighbours=5)[0][1]
