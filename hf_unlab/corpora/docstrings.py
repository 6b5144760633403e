"""`builtin:docstrings`: real English text that every machine with Python already has.

The docstrings of the standard library and of packages that hf_unlab depends on, gathered once and cached as parquet.
Splits: `train` is raw text for pretraining; `labelled_train` and `labelled_test` ask which of ten packages a
docstring is from, its name masked out. The splits are disjoint by content hash.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import inspect
import json
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hf_unlab.corpora.cache import made_once
from hf_unlab.streams.content import content_hash, hash_fraction

STANDARD_LIBRARY = "stdlib"
# The classes of the few-label task, with the names that would give each away.
LABELLED_PACKAGES = {
    STANDARD_LIBRARY: ("python",),
    "matplotlib": ("matplotlib", "pyplot"),
    "networkx": ("networkx",),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "scipy": ("scipy",),
    "sklearn": ("sklearn", "scikit-learn"),
    "sympy": ("sympy",),
    "torch": ("pytorch", "torch"),
    "transformers": ("transformers", "huggingface", "hugging face"),
}
MORE_PACKAGES = ("PIL", "accelerate", "datasets", "fsspec", "huggingface_hub", "peft", "timm", "torchvision")
# Tests, vendored copies and generated code repeat others' text.
_SKIPPED_FOLDERS = {"tests", "testing", "_vendor", "vendored", "externals", "extern", "site-packages", "idlelib"}
_DOCSTRING = re.compile(r"""(?:\A|:[ \t]*\n)\s*([rRuU]?(\"{3}|'{3}).*?\2)""", re.DOTALL)
_MIN_CHARACTERS = 80
_MAX_CHARACTERS_PER_PACKAGE = 1_200_000
_LABELLED_SHARE = 0.25
_NUM_ROW_GROUPS = 64
_distributions = functools.cache(packages_distributions)  # looking through all that is installed takes a second
_FORMAT = 2  # raise it when the collector's output changes


def data_files() -> dict[str, Path]:
    """The parquet file of each split; gathers the corpus on first use, which takes some seconds.

    Columns: `text`, `package`, `hash` (the content hash of the unmasked docstring, in hexadecimal), and in the
    labelled splits `label`, the same as `package`.

    Returns:
        `{"train": ..., "labelled_train": ..., "labelled_test": ...}`.

    Raises:
        OSError: The cache folder (`HF_HOME`) cannot be written.
    """
    splits = ("train", "labelled_train", "labelled_test")
    folder = made_once(f"docstrings-{_fingerprint()}", lambda folder: _write(_gather(), folder))
    return {split: folder / f"{split}.parquet" for split in splits}


def mask_package_name(text: str, package: str) -> str:
    """Replace the names of a labelled package by the word "package", inside longer words too.

    Example:
        >>> mask_package_name("See numpy.ndarray, TorchScript and PyTorch.", "torch")
        'See numpy.ndarray, packageScript and package.'
    """
    names = "|".join(re.escape(name) for name in LABELLED_PACKAGES[package])
    return re.sub(names, "package", text, flags=re.IGNORECASE)


def _fingerprint() -> str:
    distributions = _distributions()
    versions = {}
    for package in (*LABELLED_PACKAGES, *MORE_PACKAGES):
        with contextlib.suppress(PackageNotFoundError, KeyError):
            versions[package] = version(distributions[package][0])
    state = json.dumps([_FORMAT, sys.version_info[:3], versions], sort_keys=True)
    return hashlib.blake2b(state.encode(), digest_size=6).hexdigest()


def _gather() -> list[tuple[str, str]]:
    """(text, package) of every distinct docstring, capped for each package so that none dominates."""
    rows: list[tuple[str, str]] = []
    seen: set[int] = set()
    for package in (*LABELLED_PACKAGES, *MORE_PACKAGES):
        size = 0
        for text in _docstrings_of(package):
            if (key := content_hash(text)) not in seen:
                seen.add(key)
                rows.append((text, package))
                size += len(text)
            if size > _MAX_CHARACTERS_PER_PACKAGE:
                break
    return rows


def _docstrings_of(package: str) -> Iterator[str]:
    if package == STANDARD_LIBRARY:
        root = Path(sysconfig.get_paths()["stdlib"])
    else:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return
        root = Path(spec.submodule_search_locations[0])
    for path in _python_files(root):
        # a header line, or the start of the file, then a string: a docstring (a parser is twenty times slower)
        for literal in _DOCSTRING.finditer(path.read_text(encoding="utf-8", errors="ignore")):
            text = _value_of(literal[1])
            if len(text) >= _MIN_CHARACTERS:
                yield text.encode("utf-8", errors="ignore").decode()  # parquet holds no lone surrogates


def _value_of(literal: str) -> str:
    with contextlib.suppress(SyntaxError, ValueError), warnings.catch_warnings(action="ignore"):
        return inspect.cleandoc(ast.literal_eval(literal))
    return ""


def _python_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(f for f in subfolders if f not in _SKIPPED_FOLDERS and not f.startswith("test"))
        paths = (Path(folder, f) for f in sorted(files) if f.endswith(".py") and not f.startswith("test"))
        yield from (path for path in paths if path.is_file())  # system Pythons hold dangling links


def _write(rows: list[tuple[str, str]], folder: Path) -> None:
    splits: dict[str, list[dict[str, str]]] = {"train": [], "labelled_train": [], "labelled_test": []}
    for text, package in rows:
        share = hash_fraction(text)
        row = {"text": text, "package": package, "hash": f"{content_hash(text):016x}"}
        if package in LABELLED_PACKAGES and share < _LABELLED_SHARE:
            row |= {"text": mask_package_name(text, package), "label": package}
            splits["labelled_train" if share < _LABELLED_SHARE / 2 else "labelled_test"].append(row)
        else:
            splits["train"].append(row)
    for split, content in splits.items():
        # in the order of their hashes, which is random: else a reader would find one package after another
        table = pa.Table.from_pylist(sorted(content, key=lambda row: row["hash"]))
        # many row groups, so that many readers can each take some (IterableDataset.reshard)
        pq.write_table(table, folder / f"{split}.parquet", row_group_size=max(1, len(content) // _NUM_ROW_GROUPS))
