"""Files of embeddings: what is written is what is read, by others too."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from hf_unlab.evaluation.embedding_files import (
    Embeddings,
    read_embeddings,
    read_metadata,
    table_of,
    write_embeddings,
)

HASHES = [0, 2**64 - 1, 7]


def some(dtype: str = "float32") -> Embeddings:
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(dtype)
    columns = {"content_hash": HASHES, "source": ["a"] * 3, "row": [0, 1, 5], "label": ["x", None, "ÿ"]}
    return Embeddings(features, columns, {"model": "out", "layer": -1})


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_they_come_back(tmp_path, dtype) -> None:
    write_embeddings(some(dtype), tmp_path / "new" / "e.parquet")
    again = read_embeddings(tmp_path / "new" / "e.parquet")
    assert again.features.dtype == dtype
    np.testing.assert_array_equal(again.features, some(dtype).features)
    assert again.columns == some().columns and again.metadata == {"format_version": 1, "model": "out", "layer": -1}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["e.parquet"]
    assert read_embeddings(tmp_path / "new" / "e.parquet", ["label"]).columns.keys() == {"label"}


def test_they_are_ordinary_parquet(tmp_path) -> None:
    write_embeddings(some(), tmp_path / "e.parquet")
    data = load_dataset("parquet", data_files=str(tmp_path / "e.parquet"), split="train", cache_dir=str(tmp_path))
    np.testing.assert_array_equal(np.array(data["embedding"], dtype=np.float32), some().features)
    assert data["content_hash"][:] == HASHES


def test_files_of_several_row_groups(tmp_path) -> None:
    pq.write_table(table_of(some()), tmp_path / "e.parquet", row_group_size=1)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "e.parquet").features, some().features)


def test_a_column_of_nothing_is_as_good_as_none() -> None:
    one = Embeddings(np.zeros((2, 1), np.float32), {"label": [None, None], "group": ["a", None]})
    assert one.values("label") is None and one.values("speaker") is None and one.values("group") == ["a", None]


def test_what_is_none_is_refused(tmp_path) -> None:
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ValueError, match="is no parquet file"):
        read_metadata(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="not written by `hf-unlab embed`"):
        read_embeddings(tmp_path / "other.parquet")
    write_embeddings(some(), tmp_path / "e.parquet")
    with pytest.raises(ValueError, match="and not 'speaker'"):
        read_embeddings(tmp_path / "e.parquet", ["speaker"])
    with pytest.raises(ValueError, match="features are float64"):
        table_of(Embeddings(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="'row' has 1 values for 2"):
        table_of(Embeddings(np.zeros((2, 2), np.float32), {"row": [1]}))
    assert json.loads(table_of(some()).schema.metadata[b"hf_unlab"])["model"] == "out"
