"""Which pictures are drawn of what."""

import numpy as np

from hf_unlab.app.evaluation_pictures import draw, draw_budget, file_name
from hf_unlab.app.evaluation_table import Found
from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.report import evaluate
from hf_unlab.few_labels.draws import Candidate, few_label_table
from tests.app.test_evaluation_table import found


def names(paths) -> list[str]:
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)
    return [path.name for path in paths]


def test_with_labels_and_without(tmp_path) -> None:
    with_labels = found("my/model")
    assert names(draw([with_labels], [], tmp_path)) == [
        "my-model.map.png",
        "my-model.confusion.png",
        "my-model.reliability.png",
    ]
    data = Embeddings(with_labels.embeddings.features)
    assert names(draw([Found(data, None, evaluate("x", data))], [], tmp_path)) == ["x.map.png"]


def test_a_budget_is_drawn_of_several_numbers_of_labels(tmp_path) -> None:
    truth = np.arange(40) % 2
    candidates = [Candidate(name, method, lambda indices, seed: truth) for name, method in (("a", "x"), ("a", "y"))]
    table = few_label_table(candidates, truth, truth, (1, 5))
    assert names(draw_budget(table, tmp_path / "budget.png")) == ["budget.png"]
    assert draw_budget(few_label_table(candidates, truth, truth, (5,)), tmp_path / "none.png") == []
    assert file_name("a b/ç.d") == "a-b-ç.d"
