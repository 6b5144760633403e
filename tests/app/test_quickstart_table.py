"""A recipe's table in a few lines."""

from dataclasses import asdict

from hf_unlab.app.quickstart_table import brief
from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.facts import FACTS_NAME, TABLE_NAME, RunFacts, Session
from hf_unlab.training.checkpoints import write_json

METHODS = [
    ("TF-IDF", "logistic regression"),
    ("from scratch", "fine-tuned"),
    ("pretrained", "auto"),
    ("pretrained", "auto, unlabelled used again"),
]


def save_table(folder, seconds=30.0):
    """A run's table, and what the run says of itself."""
    rows = (
        FewLabelRow(name, method, {n: (0.1 * number + n / 100, 0.1 * number + n / 50) for n in (1, 5)})
        for number, (name, method) in enumerate(METHODS)
    )
    table = FewLabelTable(tuple(rows), seeds=(0, 1), num_classes=3, chance=1 / 3, num_test=100, task="builtin:docs")
    folder.mkdir(parents=True, exist_ok=True)
    table.save(folder / TABLE_NAME)
    write_json(folder / FACTS_NAME, asdict(RunFacts(sessions=[Session(seconds=seconds)])))


def test_names_accuracies_seconds_and_what_labels_are_worth(tmp_path):
    save_table(tmp_path)
    text = brief(tmp_path, "a table of words")
    lines = text.splitlines()
    assert lines[0].startswith("A table of words; pretrained in 30 s. Accuracy in % on builtin:docs.")
    assert lines[1].split() == ["labels", "a", "class", "1", "5"]
    assert [line.split()[-1] for line in lines[2:6]] == ["7.5", "17.5", "27.5", "*37.5"]
    assert [line[2:].rstrip("*.0123456789 ") for line in lines[2:6]] == [
        "TF-IDF",
        "from scratch",
        "pretrained",
        "pretrained, unlabelled used again",
    ]
    assert "Labels that others need" in text
    assert all(len(line) <= 80 for line in lines)


def test_where_there_is_no_table_a_line_says_so(tmp_path):
    assert "no table" in brief(tmp_path, "images")
    (tmp_path / TABLE_NAME).write_text("{}")
    assert "no table" in brief(tmp_path, "images")


def test_without_the_runs_facts_its_seconds_are_left_out(tmp_path):
    save_table(tmp_path)
    (tmp_path / FACTS_NAME).unlink()
    assert "pretrained in" not in brief(tmp_path, "images")
