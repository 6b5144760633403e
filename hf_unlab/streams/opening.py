"""From what a source says to a stream of it: loose files by `builders`, whatever else by `load_dataset`."""

import importlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import yaml
from datasets import IterableDataset
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData
from huggingface_hub.repocard import RepoCard

from hf_unlab.streams.builders import BUILDERS, as_stream, check_options
from hf_unlab.streams.files import Files, file_builder, folder_files, named_files
from hf_unlab.streams.messages import one_line, warn_once
from hf_unlab.streams.redaction import redacted
from hf_unlab.streams.zstandard_files import read_all_frames

if TYPE_CHECKING:
    from hf_unlab.streams.sources import Source

logger = logging.getLogger(__name__)
BUILTIN_PREFIX = "builtin:"


def load(source: "Source", needed: Sequence[str] = (), only_needed: bool = False) -> IterableDataset:
    """Open a source; nothing is looked at but what tells its columns.

    Args:
        source: What to open.
        needed: Columns of the data that every file must have.
        only_needed: Whether others may be left out.

    Raises:
        ValueError: Settings of the source mean nothing for its path.
        Exception: Whatever a library raises over what is not there or cannot be read.
    """
    if source.path.startswith(BUILTIN_PREFIX):
        _refuse(source, "name", "data_files", "data_dir", "revision", "options")
        # by name, as a plug-in is found: streams stand below the corpora, which are made of what they offer
        corpora = importlib.import_module("hf_unlab.corpora")
        paths = corpora.data_files(source.path.removeprefix(BUILTIN_PREFIX), source.split or "train")
        return datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True)
    read_all_frames()
    if files := find_files(source):
        if summary := files.summary():
            warn_once(logger, f"{source.label!r} {summary}.")
        check_options(files.builder, source.options)
        options = {**files.options, **source.options}
        return as_stream(
            files.builder,
            files.listed(),
            options,
            needed=needed,
            only_needed=only_needed,
            on_broken=source.on_broken,
        )
    if source.on_broken != "stop":
        raise ValueError(f"on_broken={source.on_broken!r} is known for files, and not for this path; leave it out.")
    data_files = [source.data_files] if isinstance(source.data_files, str) else source.data_files
    return datasets.load_dataset(
        os.path.expanduser(source.path),
        source.name,
        split=source.split or "train",
        data_files=data_files and [os.path.expanduser(file) for file in data_files],
        data_dir=source.data_dir and os.path.expanduser(source.data_dir),
        revision=source.revision,
        streaming=True,
        **source.options,
    )


def find_files(source: "Source") -> Files | None:
    """The files of a source that is made of loose ones; None for others: what the Hub has, and what has a card.

    Raises:
        FileNotFoundError: There are none.
        ValueError: Their format is not known, or settings mean nothing for them.

    Example:
        >>> from hf_unlab.streams.sources import Source
        >>> find_files(Source("builtin:docstrings"))
    """
    path, patterns = os.path.expanduser(source.path), source.data_files
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if path in BUILDERS:
        _refuse(source, "name", "revision")
        if patterns:
            _check_split(source)
            return named_files(path, patterns, source.data_dir)
        if source.data_dir:
            return folder_files(source.data_dir, path, source.split)
        raise ValueError(f"the builder {path!r} needs data_files (or data_dir), which say what to read.")
    if Path(path).is_file():
        _refuse(source, "name", "data_files", "data_dir", "revision")
        _check_split(source)
        builder = file_builder(path)
        return named_files(builder, [path])
    folder = os.path.join(path, os.path.expanduser(source.data_dir or ""))
    if not os.path.isdir(path) or source.name or _has_card(path):
        return None
    _refuse(source, "revision")
    if patterns:
        _check_split(source)
        read = named_files("", patterns, folder).read
        return Files(file_builder(read[0]), read)
    return folder_files(folder, split=source.split)


def _check_split(source: "Source") -> None:
    if source.split not in (None, "train"):
        raise ValueError(
            f"files that are named have no splits, so there is no {source.split!r}; leave the split "
            "out, or name the files that are meant (eval_files, labelled_train_files, labelled_test_files)."
        )


def _has_card(folder: str) -> bool:
    """Whether a folder says by itself which files are which split, as data sets of the Hub do."""
    for name in (datasets.config.REPOCARD_FILENAME, datasets.config.REPOYAML_FILENAME):
        if os.path.isfile(path := os.path.join(folder, name)):
            text = Path(path).read_text(encoding="utf-8", errors="replace")
            if name.endswith(".md") and not text.startswith("---"):
                continue  # a page about the data, which says nothing to machines
            try:
                card = RepoCard(text if name.endswith(".md") else f"---\n{text}\n---\n", ignore_metadata_errors=True)
                if MetadataConfigs.from_dataset_card_data(DatasetCardData(**card.data.to_dict())):
                    return True
            except (yaml.YAMLError, ValueError) as error:
                warn_once(
                    logger, f"{path} cannot be read ({one_line(error)}), so what it may say of splits does not hold."
                )
    return False


def _refuse(source: "Source", *settings: str) -> None:
    for setting in settings:
        if getattr(source, setting):
            given = redacted(repr(getattr(source, setting)))
            raise ValueError(f"{setting}={given} means nothing for this path; leave it out.")
