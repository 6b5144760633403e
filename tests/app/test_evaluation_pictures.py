"""Which pictures are drawn of what."""

from dataclasses import replace

import numpy as np

from hf_unlab.app.evaluation_pictures import draw, draw_budget, file_name, saving_of
from hf_unlab.app.evaluation_table import Found
from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.report import evaluate
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.table import FewLabelTable
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


def test_an_arrow_shows_what_is_saved_where_that_was_measured():
    def rows(better, worse):
        counts = (5, 10, 50)
        known = (("pretrained", "linear probe", better), ("from scratch", "fine-tuned", worse))
        return tuple(
            FewLabelRow(name, method, {n: (a,) for n, a in zip(counts, each, strict=True)})
            for name, method, each in known
        )

    table = FewLabelTable(rows((0.6, 0.7, 0.8), (0.4, 0.5, 0.6)), (0,), 4, 0.25, 100)
    accuracy, fewer, more, text = saving_of(table)
    assert (accuracy, fewer, text) == (0.6, 5, "x 10 labels") and round(more) == 50
    for worse in ((0.4, 0.5, 0.59), (0.7, 0.7, 0.8), (0.55, 0.65, 0.8)):  # not reached; ahead; hardly behind
        assert saving_of(replace(table, rows=rows((0.6, 0.7, 0.8), worse))) is None
    assert saving_of(replace(table, rows=table.rows[1:])) is None
