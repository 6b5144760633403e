"""`hf-unlab embed` as it is typed."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hf_unlab.app import cli
from hf_unlab.app.embedding import load, read_inputs, rows_of, with_columns
from hf_unlab.evaluation.embedding_files import read_embeddings
from hf_unlab.streams.content import content_hash
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_clips, tiny_wav2vec2
from hf_unlab.training.alone import alone_and_quiet
from tests.modalities.text.test_encoder import save_bert


@pytest.fixture
def checkpoint(tmp_path):
    save_bert(tmp_path / "checkpoint")
    return str(tmp_path / "checkpoint")


@pytest.fixture
def data(tmp_path):
    rows = [{"body": f"w{i % 2} w{2 + i % 30} w{i % 7}", "kind": ["no", "yes"][i % 2], "by": i % 3} for i in range(60)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, rows


def invoke(*argv: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, argv)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_options_reach_the_file(tmp_path, checkpoint, data) -> None:
    out = tmp_path / "e.parquet"
    said = invoke(
        *("embed", checkpoint, "json", "-o", str(out), "--layer", "-1", "--pooling", "cls", "--dtype", "float16"),
        *("--label_column", "kind", "--group_column", "by", "--num_rows", "50", "--batch_size", "8"),
        *("--data_files", str(data[0]), "--text_column", "body"),
    )
    assert f"50 embeddings of 16 features in {out}" in " ".join(said.split())
    found = read_embeddings(out)
    assert found.features.dtype == np.float16 and found.columns["label"][:2] == ["no", "yes"]
    assert found.columns["group"][:4] == ["0", "1", "2", "0"]
    assert (
        found.metadata["model"] == checkpoint and found.metadata["pooling"] == "cls" and found.metadata["layer"] == -1
    )
    assert len(found.metadata["checkpoint_hash"]) == 32
    again = invoke(
        *("embed", checkpoint, "json", "-o", str(out), "--layer", "-1", "--pooling", "cls", "--dtype", "float16"),
        *("--label_column", "kind", "--group_column", "by", "--num_rows", "50", "--batch_size", "8"),
        *("--data_files", str(data[0]), "--text_column", "body"),
    )
    assert "50 rows were there already" in again


def test_what_cannot_be_is_said(tmp_path, checkpoint, data, capsys) -> None:
    out = str(tmp_path / "e.parquet")
    for argv, message in (
        ([checkpoint, "json", "-o", out, "--data_files", str(data[0]), "--text_column", "x"], "column"),
        ([checkpoint, str(data[0]), "-o", out, "--text_column", "body", "--layer", "9"], "hidden states 0 to 2"),
        ([checkpoint, str(data[0]), "-o", out, "--text_column", "body", "--pooling", "max"], "knows: mean, cls"),
        ([str(tmp_path), str(data[0]), "-o", out], "is no checkpoint"),
    ):
        result = CliRunner().invoke(cli.app, ["embed", *argv])
        assert result.exit_code == 2 and message in result.output + result.stderr, result.output


def test_a_layer_is_chosen_by_labels(tmp_path, checkpoint, data) -> None:
    out = str(tmp_path / "e.parquet")
    argv = ["embed", checkpoint, str(data[0]), "-o", out, "--layer", "learned", "--text_column", "body"]
    said = invoke(*argv, "--label_column", "kind")
    layer = read_embeddings(out).metadata["layer"]
    assert layer in (0, 1, 2) and f"Layer {layer} of" in said
    result = CliRunner().invoke(cli.app, argv)
    assert result.exit_code == 2 and "no labels are named" in result.output + result.stderr


def test_labels_are_found_and_named(data, tmp_path) -> None:
    source = Source(str(data[0]))
    assert with_columns(source, None, None, ())[1] == []
    named, kept = with_columns(source, "kind", "by", ["body"])
    assert named.columns == {"label": "kind", "group": "by"} and kept == ["label", "group", "body"]
    (tmp_path / "labelled.jsonl").write_text('{"text": "a", "label": 1}\n')
    assert with_columns(Source(str(tmp_path / "labelled.jsonl")), None, None, ())[1] == ["label"]


def test_rows_are_counted_where_they_are_here(data) -> None:
    assert rows_of(Source(str(data[0]))) == 60
    assert rows_of(Source("json", data_files=str(data[0].with_name("*.jsonl")))) == 60
    assert rows_of(Source("stanfordnlp/imdb")) is None
    assert rows_of(Source("json", data_files="https://example.org/a.jsonl")) is None


def test_inputs_are_decoded_with_their_labels(checkpoint, data) -> None:
    loaded = load(checkpoint)
    source = Source(str(data[0]), columns={"text": "body", "label": "kind"})
    found = list(read_inputs(loaded, source, has_labels=True))
    assert len(found) == 60 and found[1].label == "yes" and found[1].content_hash == content_hash(data[1][1]["body"])


def test_batches_of_recordings_have_no_number(tmp_path) -> None:
    model, extractor = tiny_wav2vec2()
    with alone_and_quiet():
        model.save_pretrained(tmp_path / "audio")
        extractor.save_pretrained(tmp_path / "audio")
        assert load(str(tmp_path / "audio")).modality.name == "audio" and list(tiny_clips(1))
        with pytest.raises(ValueError, match="leave --batch_size out"):
            load(str(tmp_path / "audio"), batch_size=4)
