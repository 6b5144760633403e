"""tables.py: what the card's Markdown holds, and several runs summed up."""

from dataclasses import replace

from hf_unlab.app.report.run import read_run
from hf_unlab.app.report.tables import counts_of, summary_of, tables_of
from hf_unlab.hub.proof import proofs_of
from tests.app.report.conftest import few_labels, keep
from tests.few_labels.test_table import example_table


def test_the_table_of_a_card_comes_back_whole(tmp_path):
    table = example_table("ours")
    keep(table, tmp_path)
    (shown,) = tables_of(proofs_of(tmp_path)[0].table)
    assert shown.header == ("", "method", "5 labels a class", "10 labels a class", "50 labels a class")
    assert [row[0].text for row in shown.rows] == ["ours", "ours", "TF-IDF"]
    for row, cells in zip(table.rows, shown.rows, strict=True):
        for count, cell in zip(table.num_labels_per_class, cells[2:], strict=True):
            assert cell.text.startswith(f"{100 * row.mean(count):.1f} ±")
            assert cell.is_best == table.is_best(row, count)
    assert "mean ± std of 3 seeds" in shown.caption and tables_of("") == []


def test_a_run_in_the_summary(trained_text):
    summary = summary_of(read_run(trained_text), "run-1", (5, 10, 50))
    assert summary.about[0] == "text" and summary.about[1].startswith("pretrained on reviews.jsonl in ")
    assert summary.about[2].startswith("labels of reviews") and summary.question.endswith("reaches with 5")
    assert [row.what for row in summary.rows] == [
        "TF-IDF, logistic regression",
        "from scratch, fine-tuned",
        "pretrained, auto",
    ]
    cheap, scratch, ours = summary.rows
    assert [cell.text for cell in cheap.cells] == ["50.0", "-", "90.0"]
    assert [[cell.is_best for cell in row.cells] for row in summary.rows] == [
        [False, False, True],
        [False, False, False],
        [True, False, False],
    ]
    assert (
        scratch.efficiency.startswith("more than x 10") and cheap.efficiency.startswith("x ") and not ours.efficiency
    )


def test_of_one_number_of_labels_there_is_no_efficiency(trained_text):
    run = replace(read_run(trained_text), tables=(few_labels(counts=(5,)),))
    summary = summary_of(run, "run-1", (5,))
    assert not summary.question and not any(row.efficiency for row in summary.rows)


def test_one_that_was_not_measured(trained_pairs):
    summary = summary_of(read_run(trained_pairs), "run-1", ())
    assert summary.rows == () and summary.question == "" and summary.about[0] == "image and text"


def test_the_columns_are_those_of_all():
    assert counts_of([few_labels(counts=(5, 50)), None, few_labels(counts=(10, 20))]) == (5, 10, 20, 50)
