"""Corpora that every machine can make for itself: no download, real content, labels included.

A corpus is a module of this package with `data_files()`, which makes its parquet files on first use.
"""

import importlib
from pathlib import Path

CORPORA = ("docstrings", "glyphs", "digits", "formants")
# What a built-in corpus is proved on: a labelled one, its splits to draw labels from and to test on.
BUILTIN_LABELLED = {
    "builtin:docstrings": ("builtin:docstrings", "labelled_train", "labelled_test"),
    "builtin:glyphs": ("builtin:digits", "train", "test"),
    "builtin:formants": ("builtin:formants", "labelled_train", "labelled_test"),
}


def data_files(name: str, split: str) -> list[str]:
    """Parquet files of one split of a built-in corpus, made on first use and cached.

    Args:
        name: The corpus, as in `builtin:docstrings`.
        split: One of the corpus's splits.

    Raises:
        ValueError: No such corpus or split.
    """
    if name not in CORPORA:
        raise ValueError(f"There is no built-in corpus {name!r}; there are: {', '.join(CORPORA)}.")
    files: dict[str, Path] = importlib.import_module(f"{__name__}.{name}").data_files()
    if split not in files:
        raise ValueError(f"builtin:{name} has no split {split!r}; its splits are: {', '.join(files)}.")
    return [str(files[split])]
