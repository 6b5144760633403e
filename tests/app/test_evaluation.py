"""`hf-unlab evaluate` as it is typed: files, models, with labels and without."""

import json

import pytest
from typer.testing import CliRunner

from hf_unlab.app import cli
from tests.app.test_embedding import checkpoint, data, invoke  # noqa: F401 - fixtures


@pytest.fixture
def embedded(tmp_path, checkpoint, data):  # noqa: F811
    out = str(tmp_path / "e.parquet")
    invoke("embed", checkpoint, str(data[0]), "-o", out, "--label_column", "kind", "--text_column", "body")
    return out


def test_a_model_with_labels_slices_and_perturbations(tmp_path, checkpoint, data) -> None:  # noqa: F811
    said = invoke(
        *("evaluate", checkpoint, "--dataset", str(data[0]), "--label_column", "kind", "--slices", "by"),
        *("-o", str(tmp_path / "out"), "--perturb", "--text_column", "body"),
    )
    assert max(map(len, said.splitlines())) <= 80
    for words in ("probe: accuracy", "95% interval", "labels a class", "accuracy by by", "typos", "test examples"):
        assert words in said, words
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {
        *("results.json", "few_label.json", "checkpoint.train.parquet", "checkpoint.map.png", "label_budget.png"),
        *("checkpoint.confusion.png", "checkpoint.reliability.png", "checkpoint.slices.png"),
    }
    (content,) = json.loads((tmp_path / "out" / "results.json").read_text())["models"]
    assert content["with_labels"]["probe_accuracy"] > 0.6 and content["robustness"]["typos"]["accuracy"] >= 0
    assert {one["name"] for one in content["slices"]["groups"]} == {"0", "1", "2"}


def test_slices_may_be_the_labels_themselves(tmp_path, checkpoint, data) -> None:  # noqa: F811
    invoke(
        *("evaluate", checkpoint, "--dataset", str(data[0]), "--label_column", "kind", "--slices", "kind"),
        *("-o", str(tmp_path / "out"), "--no-pictures", "--text_column", "body"),
    )
    (content,) = json.loads((tmp_path / "out" / "results.json").read_text())["models"]
    assert {one["name"] for one in content["slices"]["groups"]} == set(content["label_names"])


def test_files_side_by_side(tmp_path, checkpoint, data, embedded) -> None:  # noqa: F811
    other = str(tmp_path / "first.parquet")
    invoke(
        *("embed", checkpoint, str(data[0]), "-o", other, "--label_column", "kind", "--text_column", "body"),
        *("--layer", "0"),
    )
    said = invoke("evaluate", embedded, other, "-o", str(tmp_path / "out"), "--no-pictures")
    assert "e minus first:" in said and said.count("linear probe") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "few_label.json"}
    differences = json.loads((tmp_path / "out" / "results.json").read_text())["differences"]
    assert [(one["of"], one["minus"]) for one in differences] == [("e", "first")]


def test_without_labels(tmp_path, checkpoint, data) -> None:  # noqa: F811
    said = invoke(
        *("evaluate", checkpoint, "--dataset", str(data[0]), "-o", str(tmp_path / "out"), "--text_column", "body"),
    )
    assert "effective rank (RankMe)" in said and "probe" not in said and "what lies nearest" in said
    assert "Without labels nobody can say" in said
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"checkpoint.map.png"}


def test_test_data_of_its_own(tmp_path, checkpoint, data) -> None:  # noqa: F811
    rows = [{"body": f"w{i % 2} w{9 + i % 20} unknown{i}", "kind": ["no", "yes"][i % 2]} for i in range(30)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = invoke(
        *("evaluate", checkpoint, "--dataset", "json", "-o", str(tmp_path / "out"), "--label_column", "kind"),
        *("--no-pictures", "--data_files", str(data[0]), "--eval_files", str(tmp_path / "test.jsonl")),
        *("--text_column", "body"),
    )
    assert "30 test examples" in said and "by the hash" not in said
    assert (tmp_path / "out" / "checkpoint.test.parquet").exists()


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "Missing argument"),
        (["--label_column", "kind"], "Missing argument"),
        (["gone.parquet"], "is no parquet file"),
        (["CHECKPOINT"], "name the data that it embeds"),
        (["EMBEDDED", "--perturb"], "holds no inputs to perturb"),
        (["EMBEDDED", "EMBEDDED"], "is named twice"),
        (["EMBEDDED", "--slices", "speaker"], "have no column 'speaker'"),
        (["EMBEDDED", "--map", "tsne"], "--map is pca or umap"),
    ],
)
def test_mistakes(argv, message, tmp_path, checkpoint, embedded) -> None:  # noqa: F811
    named = {"CHECKPOINT": checkpoint, "EMBEDDED": embedded}
    given = [named.get(word, word) for word in argv]
    result = CliRunner().invoke(cli.app, ["evaluate", "-o", str(tmp_path / "out"), *given])
    assert result.exit_code == 2, result.output
    assert message in " ".join((result.output + result.stderr).replace("│", " ").split()), result.output
