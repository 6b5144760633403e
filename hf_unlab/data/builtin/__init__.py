"""Corpora that every machine can make for itself: no download, real content, labels included."""

from pathlib import Path

from hf_unlab.data.builtin import digits, docstrings, formants, glyphs

_CORPORA = {
    "docstrings": docstrings.data_files,
    "glyphs": glyphs.data_files,
    "digits": digits.data_files,
    "formants": formants.data_files,
}


def data_files(name: str, split: str) -> list[str]:
    """Parquet files of one split of a built-in corpus, made on first use and cached.

    Args:
        name: The corpus, as in `builtin:docstrings`.
        split: One of the corpus's splits.

    Raises:
        ValueError: No such corpus or split.
    """
    if name not in _CORPORA:
        raise ValueError(f"There is no built-in corpus {name!r}; there are: {', '.join(_CORPORA)}.")
    files: dict[str, Path] = _CORPORA[name]()
    if split not in files:
        raise ValueError(f"builtin:{name} has no split {split!r}; its splits are: {', '.join(files)}.")
    return [str(files[split])]
