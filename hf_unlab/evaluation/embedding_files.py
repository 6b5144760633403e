"""Embeddings as files: parquet that whoever looks at representations reads, so that they are computed once.

Columns: `embedding`, a list of fixed size; `content_hash` of what was embedded; `source` and `row`, where it came
from; and what else was asked for, such as a label. The file's metadata holds the checkpoint's hash and all settings.

In the names: N rows, D features.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

METADATA_KEY = b"hf_unlab"
FORMAT_VERSION = 1
# Numbers that hardly repeat: a dictionary of them, and compression, cost time and save nothing.
AS_PARQUET: dict[str, Any] = {"use_dictionary": False, "compression": "none", "write_statistics": False}
_TYPES = {"float16": pa.float16(), "float32": pa.float32()}


@dataclass(frozen=True)
class Embeddings:
    """What a file of embeddings holds.

    Args:
        features: (N, D), float32 or float16.
        columns: Every other column, N values each.
        metadata: `model`, `checkpoint_hash`, `layer`, `pooling`, `modality`, ... as they were written.

    Example:
        >>> one = Embeddings(np.zeros((2, 3), np.float32), {"label": ["no", "yes"]})
        >>> len(one), one.values("label"), one.values("group") is None
        (2, ['no', 'yes'], True)
    """

    features: np.ndarray
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    def values(self, column: str) -> list[Any] | None:
        """A column's values; None if there is no such column, or nothing in it."""
        values = self.columns.get(column)
        return None if values is None or all(value is None for value in values) else list(values)


def table_of(embeddings: Embeddings) -> pa.Table:
    """Embeddings as a table of Arrow, with the metadata of the file.

    Raises:
        ValueError: Features are neither float16 nor float32, or a column is of another length.

    Example:
        >>> table_of(Embeddings(np.zeros((2, 3), np.float16), {"row": [0, 1]})).schema.names
        ['embedding', 'row']
    """
    features_ND = np.ascontiguousarray(embeddings.features)
    if str(features_ND.dtype) not in _TYPES or features_ND.ndim != 2:
        raise ValueError(
            f"features are {features_ND.dtype} of shape {features_ND.shape}; give float16 or float32, (rows, "
            "features)."
        )
    flat = pa.array(features_ND.reshape(-1), _TYPES[str(features_ND.dtype)])
    arrays = {"embedding": pa.FixedSizeListArray.from_arrays(flat, features_ND.shape[1])}
    for name, values in embeddings.columns.items():
        is_hash = name == "content_hash"  # 64 bits without a sign
        arrays[name] = pa.array(values, pa.uint64()) if is_hash else pa.array(values)
        if len(values) != len(features_ND):
            raise ValueError(f"The column {name!r} has {len(values)} values for {len(features_ND)} embeddings.")
    content = json.dumps({"format_version": FORMAT_VERSION, **embeddings.metadata}, ensure_ascii=False)
    return pa.table(arrays).replace_schema_metadata({METADATA_KEY: content.encode()})


def write_embeddings(embeddings: Embeddings, path: str | Path) -> None:
    """Writes a file, whole or not at all.

    Args:
        embeddings: What it is to hold.
        path: Where; its folder is made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    pq.write_table(table_of(embeddings), temporary, **AS_PARQUET)
    temporary.replace(target)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """How a file's embeddings were made, without reading them.

    Raises:
        ValueError: It is no file of embeddings.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{path} is no parquet file: {error}. Give one that `hf-unlab embed` wrote.") from error
    if METADATA_KEY not in metadata:
        raise ValueError(f"{path} is no file of embeddings: it was not written by `hf-unlab embed`.")
    return json.loads(metadata[METADATA_KEY])


def read_embeddings(path: str | Path, columns: Sequence[str] | None = None) -> Embeddings:
    """What a file holds.

    Args:
        path: As `write_embeddings` wrote it.
        columns: Of the others than `embedding` those that are wanted; None: all.

    Raises:
        ValueError: It is no file of embeddings, or lacks a column.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "two.parquet"
        >>> write_embeddings(Embeddings(np.eye(2, dtype=np.float32), {"label": ["a", "b"]}, {"model": "out"}), path)
        >>> again = read_embeddings(path)
        >>> again.features.tolist(), again.values("label"), again.metadata["model"]
        ([[1.0, 0.0], [0.0, 1.0]], ['a', 'b'], 'out')
    """
    metadata, names = read_metadata(path), pq.read_schema(path).names
    wanted = [name for name in names if name != "embedding"] if columns is None else list(columns)
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{path} has the columns {', '.join(names)}, and not {missing[0]!r}.")
    table = pq.read_table(path, columns=["embedding", *wanted])
    lists = table.column("embedding").combine_chunks()
    values = (
        lists.flatten()
        if isinstance(lists, pa.FixedSizeListArray)
        else pa.concat_arrays([chunk.flatten() for chunk in lists.chunks])
    )
    size = table.schema.field("embedding").type.list_size
    features_ND = values.to_numpy(zero_copy_only=False).reshape(-1, size)
    return Embeddings(features_ND, {name: table.column(name).to_pylist() for name in wanted}, metadata)
