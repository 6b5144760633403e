"""The table of an evaluation: in 80 columns, however many models."""

import numpy as np

from hf_unlab.app.evaluation_table import Found, differences, neighbours, render
from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.report import evaluate, split


def found(name: str, apart: float = 2.0, seed: int = 0) -> Found:
    rng, labels = np.random.default_rng(seed), np.arange(300) % 3
    rows = (rng.normal(size=(300, 6)) + apart * np.eye(6)[labels]).astype(np.float32)
    hashes = [int(value) for value in np.random.default_rng(9).integers(0, 2**63, 300)]
    columns = {"content_hash": hashes, "label": [f"c{label}" for label in labels], "row": list(range(300))}
    data = Embeddings(rows, columns)
    return Found(data, split(data), evaluate(name, data, split(data)))


def test_many_models_are_continued_below() -> None:
    evaluations = [found(f"a model with a long name {i}", seed=i).evaluation for i in range(6)]
    text = render(evaluations)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("effective rank (RankMe)") == 2 and text.count("probe: accuracy") == 2
    assert len(differences(evaluations)) == 15


def test_who_is_ahead_is_said_with_an_interval() -> None:
    text = " ".join(render([found("good").evaluation, found("bad", 0.2, 1).evaluation]).split())
    assert "good minus bad: +" in text and "points of probe accuracy" in text and ": ahead." in text
    twice = " ".join(render([found("one").evaluation, found("two").evaluation]).split())
    assert "no difference that chance could not make" in twice


def test_perturbations_and_neighbours() -> None:
    one = found("out")
    costs = {"accuracy": 0.5, "drop": 0.1, "drop_low": 0.05, "drop_high": 0.15, "neighbour_stability": 0.4}
    one.evaluation.robustness["typos"] = costs
    one.evaluation.robustness["noise"] = {"neighbour_stability": 0.25}
    text = render([one.evaluation])
    assert "typos" in text and "5.0..15.0" in text and "25% stay" in text
    assert max(map(len, text.splitlines())) <= 80
    assert (
        neighbours(one).splitlines()[0] == "out: what lies nearest" and len(neighbours(one).splitlines()) == 1 + 5 * 4
    )
