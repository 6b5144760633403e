"""From a source to a file: each row by itself, on any number of processes, killed or not."""

import json
import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_unlab.evaluation.embed import embed
from hf_unlab.evaluation.embedding_files import read_embeddings
from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.row_reader import EmbedSettings
from hf_unlab.modalities import get_modality
from hf_unlab.streams.content import content_hash
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_dual_encoder, tiny_pairs
from hf_unlab.training.alone import alone_and_quiet
from tests.modalities.text.test_encoder import BERT, make, save_bert

TEXT = get_modality("text")
ROWS = [
    {"text": " ".join(f"w{(i * k) % 40}" for k in range(1, 2 + i % 30)), "kind": i % 3, "speaker": f"s{i % 2}"}
    for i in range(95)
]
PARTS = {"rows_a_part": 10, "columns": ("label", "speaker")}


@pytest.fixture
def source(tmp_path) -> Source:
    rows = [dict(row) for row in ROWS]
    rows[3]["text"], rows[15]["text"], rows[20]["text"] = "  ", None, ""
    with (tmp_path / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return Source(str(tmp_path / "rows.jsonl"), columns={"label": "kind"})


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = make(BERT, max_length=12)
    _ = encoder.model
    return encoder


def test_rows_are_those_of_the_encoder_in_the_order_of_the_source(tmp_path, source, encoder) -> None:
    report = embed(encoder, source, tmp_path / "e.parquet", TEXT, EmbedSettings(**PARTS))
    kept = [row for row in range(95) if row not in (3, 15, 20)]
    found = read_embeddings(tmp_path / "e.parquet")
    assert (report.num_rows, report.num_features, report.num_skipped) == (92, 48, 3) == (len(found), 48, 3)
    assert report.reasons == {"empty": 1, "nothing in it": 2}
    assert found.columns["row"] == kept and set(found.columns["source"]) == {source.label}
    assert found.columns["label"] == [str(ROWS[row]["kind"]) for row in kept]
    assert found.columns["speaker"] == [ROWS[row]["speaker"] for row in kept]
    assert found.columns["content_hash"] == [content_hash(ROWS[row]["text"]) for row in kept]
    expected = np.concatenate([features_of(encoder, [ROWS[row]["text"]]) for row in kept])
    np.testing.assert_allclose(found.features, expected, atol=2e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet", "rows.jsonl"]


@pytest.mark.parametrize("world_size", [1, 3])
def test_any_number_of_processes_and_parts_writes_the_same(tmp_path, source, encoder, world_size) -> None:
    embed(encoder, source, tmp_path / "one.parquet", TEXT, EmbedSettings(columns=("label",)))
    barrier, reports = threading.Barrier(world_size), {}

    def run(rank: int) -> None:
        reports[rank] = embed(
            make_alike(encoder),
            source,
            tmp_path / "many.parquet",
            TEXT,
            EmbedSettings(columns=("label",), rows_a_part=7),
            rank=rank,
            world_size=world_size,
            wait=barrier.wait,
        )

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, many = (read_embeddings(tmp_path / f"{name}.parquet") for name in ("one", "many"))
    np.testing.assert_allclose(many.features, one.features, atol=2e-6)
    assert many.columns == one.columns
    assert reports[0].num_rows == 92 and reports[0].num_skipped == 3


def make_alike(encoder):
    """Threads must not share what they set to eval mode."""
    other = make(BERT, max_length=12)
    other.model.load_state_dict(encoder.model.state_dict())
    return other


def slowly(folder, path) -> None:
    """Embeds, and takes its time behind the third part."""
    from hf_unlab.evaluation import embed as module

    writes, write = [], module.write_embeddings

    def write_slowly(*given) -> None:
        write(*given)
        writes.append(given)
        if len(writes) == 3:
            time.sleep(600)

    module.write_embeddings = write_slowly
    encoder = TEXT.load_encoder(folder / "checkpoint")
    module.embed(
        encoder, Source(str(path), columns={"label": "kind"}), folder / "e.parquet", TEXT, EmbedSettings(**PARTS)
    )


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_killed_it_goes_on(tmp_path, source) -> None:
    save_bert(tmp_path / "checkpoint")
    with alone_and_quiet():
        encoder = TEXT.load_encoder(tmp_path / "checkpoint")
    process = multiprocessing.get_context("spawn").Process(target=slowly, args=(tmp_path, source.path))
    process.start()
    parts = tmp_path / "e.parquet.parts"
    while len(list(parts.glob("*.parquet"))) != 3:
        assert process.is_alive()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "e.parquet").exists()
    left = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    with pytest.raises(ValueError, match=r"was made with dtype='float32', and now dtype='float16' is asked for"):
        embed(encoder, source, tmp_path / "e.parquet", TEXT, EmbedSettings(dtype="float16", **PARTS))
    report = embed(encoder, source, tmp_path / "e.parquet", TEXT, EmbedSettings(**PARTS))
    assert len(left) == 3 and report.num_resumed == 30 and report.num_rows == 92
    embed(encoder, source, tmp_path / "whole.parquet", TEXT, EmbedSettings(**PARTS))
    cut, whole = (read_embeddings(tmp_path / f"{name}.parquet") for name in ("e", "whole"))
    np.testing.assert_allclose(cut.features, whole.features, atol=1e-6)
    assert cut.columns == whole.columns
    again = embed(encoder, source, tmp_path / "e.parquet", TEXT, EmbedSettings(**PARTS))
    assert again.num_rows == again.num_resumed == 92


def test_images_by_their_bytes_with_a_glimpse(tmp_path) -> None:
    rows = [
        {"image": {**pair["image"], "path": f"squares/{i}.png"}, "label": pair["text"].split()[1]}
        for i, pair in enumerate(tiny_pairs(12))
    ]
    Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    modality = get_modality("image_text")
    tiny_dual_encoder().save_pretrained(tmp_path / "checkpoint")
    encoder = modality.load_encoder(tmp_path / "checkpoint")
    settings = EmbedSettings(layer="projection", columns=("label",), num_rows=10, with_preview=True, dtype="float16")
    embed(encoder, Source(str(tmp_path / "rows.parquet")), tmp_path / "e.parquet", modality, settings)
    found = read_embeddings(tmp_path / "e.parquet")
    assert found.features.shape == (10, 8) and found.features.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(found.features.astype(float), axis=1), 1, atol=2e-3)
    assert found.columns["preview"][:2] == ["squares/0.png", "squares/1.png"]
    assert found.columns["content_hash"] == [content_hash(row["image"]["bytes"]) for row in rows[:10]]


def test_nothing_that_can_be_embedded_is_a_mistake(tmp_path, encoder) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": " "}\n' * 3)
    with pytest.raises(ValueError, match="None of the rows can be embedded"):
        embed(encoder, Source(str(tmp_path / "rows.jsonl")), tmp_path / "e.parquet", TEXT)
