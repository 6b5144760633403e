"""Which files a source means: what the user named, all of it, and no more.

`load_dataset` guesses splits from parts of names: of `notes.txt` and `my training notes.txt` it reads one.
"""

import glob
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.data_files import FILES_TO_IGNORE, SPLIT_KEYWORDS, DataFilesList
from datasets.load import infer_module_for_data_files_list
from datasets.packaged_modules import _MODULE_TO_EXTENSIONS, _MODULE_TO_METADATA_FILE_NAMES

from hf_unlab.streams.builders import BUILDERS, AudioFiles

_SUFFIXES = {
    "text": (".txt",),
    "json": (".jsonl", ".json", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
    "webdataset": (".tar",),
}
_BUILDER_OF_SUFFIX = {suffix: builder for builder, suffixes in _SUFFIXES.items() for suffix in suffixes}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_PACKAGES = {".zst": "zstandard", ".lz4": "lz4"}  # what decompressing needs beside Python
_MORE_SUFFIXES = {"audiofolder": AudioFiles.MORE_EXTENSIONS}
_KEYWORDS = {word: str(split) for split, words in SPLIT_KEYWORDS.items() for word in words}
# A folder or a file that is called by a split and nothing else: train, test_0, validation-00000-of-00002
_EXACT = re.compile(f"({'|'.join(_KEYWORDS)})([-_.]?[0-9]+([-_]of[-_][0-9]+)?)?")
_SOMEWHERE = re.compile(f"(?:^|[-._ 0-9])({'|'.join(sorted(_KEYWORDS, key=len, reverse=True))})(?=$|[-._ 0-9])")


@dataclass(frozen=True)
class Files:
    """Files of one format.

    Args:
        builder: The name of their builder.
        read: Paths and URLs, in their order.
        left_out: Files of a folder that are not read.
        split: The split that they are taken for.
        tests: Those among them that are called by another split than `train`.
    """

    builder: str
    read: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    split: str | None = None
    tests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for file in self.read:
            package = _PACKAGES.get(Path(file).suffix)
            if package and importlib.util.find_spec(package) is None:
                raise ValueError(f"{file} needs the package {package}: pip install {package}.")

    @property
    def options(self) -> dict[str, Any]:
        """What the builder is told of their format."""
        return {"sep": "\t"} if self.builder == "csv" and all(map(_is_of_tabs, self.read)) else {}

    def listed(self) -> DataFilesList:
        """As builders are told of files."""
        return DataFilesList(list(self.read), [])

    def summary(self) -> str:
        """How many files of how many are read, and which are not; empty where all are.

        Example:
            >>> Files("text", ("/a/b.txt",), ("/a/c.csv", "/a/test.txt"), "train").summary()
            'reads 1 of 3 files (the split train) and leaves out c.csv, test.txt'
        """
        if self.tests:
            named = os.path.basename(self.tests[0])
            return f"reads all files, {named} too: if that is not to be trained on, name a split (split: train)"
        if not self.left_out:
            return ""
        names = [os.path.basename(file) for file in self.left_out]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        of = f" (the split {self.split})" if self.split else ""
        total = len(self.read) + len(names)
        return f"reads {len(self.read)} of {total} files{of} and leaves out {', '.join(names[:3])}{more}"


def _is_of_tabs(file: str) -> bool:
    return ".tsv" in Path(file).suffixes


def named_files(builder: str, patterns: Sequence[str], data_dir: str | None = None) -> Files:
    """The files that names, globs, folders and URLs stand for; each once.

    Args:
        builder: What reads them.
        patterns: A file's own name stands for it even if it holds characters of globs.
        data_dir: What relative ones are relative to.

    Raises:
        FileNotFoundError: One stands for nothing.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "a[1].txt").write_text("one"), (folder / "a1.txt").write_text("two")
        >>> [pathlib.Path(file).name for file in named_files("text", ["a[1].txt"], str(folder)).read]
        ['a[1].txt']
    """
    read: dict[str, None] = {}
    for pattern in patterns:
        if "://" in pattern:
            read |= dict.fromkeys(DataFilesList.from_patterns([pattern]))
            continue
        path = os.path.abspath(os.path.join(os.path.expanduser(data_dir or ""), os.path.expanduser(pattern)))
        if os.path.isdir(path):
            found = list(folder_files(path, builder).read)
        elif os.path.isfile(path):
            found = [path]
        else:
            found = sorted(filter(os.path.isfile, _glob(path)))
        if not found:
            raise FileNotFoundError(f"there is no file {path!r}{' (a glob)' if glob.has_magic(pattern) else ''}")
        read |= dict.fromkeys(found)
    return Files(builder, tuple(read))


def _glob(path: str) -> list[str]:
    literal = Path(path)
    while not literal.is_dir():  # a folder may have such characters in its name, too
        literal = literal.parent
    return glob.glob(os.path.join(glob.escape(str(literal)), os.path.relpath(path, literal)), recursive=True)


def file_builder(file: str) -> str:
    """The builder of one file, by its name.

    Raises:
        ValueError: The name tells of none.

    Example:
        >>> file_builder("reviews.v2.jsonl.gz")
        'json'
    """
    suffixes = [suffix.lower() for suffix in Path(file).suffixes if suffix.lower() not in _COMPRESSED]
    if not suffixes or suffixes[-1] not in _BUILDER_OF_SUFFIX:
        raise ValueError(
            f"the format of {Path(file).name!r} is not known from its name: {', '.join(_BUILDER_OF_SUFFIX)} are (also "
            f"{', '.join(_COMPRESSED)}); otherwise give the builder as `path` and the file as `data_files`."
        )
    return _BUILDER_OF_SUFFIX[suffixes[-1]]


def folder_files(folder: str, builder: str | None = None, split: str | None = None) -> Files:
    """The files in a folder and those below it, of the format that most of them are of.

    Args:
        folder: A local folder, or what `save_to_disk` made.
        builder: What reads them, if it is known.
        split: Those alone that datasets takes for this split, by names of files and folders. By default all; but
            where *every* name is that of a split, and nothing more (`train/`, `test.jsonl`), those of `train`.

    Raises:
        FileNotFoundError: There are no files.
        ValueError: They are of no known format, or there is no such split.
    """
    folder = os.path.abspath(os.path.expanduser(folder))
    if builder is None and (saved := _saved_files(folder, split)):
        return saved
    there = list(walk(folder))
    if not there:
        raise FileNotFoundError(f"{folder!r} doesn't contain any data files")
    builder = builder or infer_module_for_data_files_list(DataFilesList(there, []))[0] or ""
    if builder not in BUILDERS:
        raise ValueError(f"the files of {folder!r} are of no format that is known: {os.path.basename(there[0])}, ...")
    suffixes = (*_MODULE_TO_EXTENSIONS[builder], *_MORE_SUFFIXES.get(builder, ()))
    metadata = _MODULE_TO_METADATA_FILE_NAMES[builder]
    kept = [file for file in there if _has_suffix(file, suffixes) or os.path.basename(file) in metadata]
    named = [file for file in kept if os.path.basename(file) not in metadata]
    chosen = _of_split(named, folder, split)
    if chosen is None:
        return Files(builder, tuple(kept), tuple(sorted(set(there) - set(kept))), tests=_tests_among(named, folder))
    name, of_split = chosen
    # what is said of all files at once stays; of another split's it says nothing here
    beside = {file for file in kept if file not in named and _split_of(file, folder, _EXACT.fullmatch) in (None, name)}
    read = [file for file in kept if file in beside or file in of_split]
    return Files(builder, tuple(read), tuple(sorted(set(there) - set(read))), name)


def walk(folder: str) -> Iterator[str]:
    """Paths of the files in a folder and those below it, in their order, without those that are hidden."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link that leads to where we are, or were
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            if not name.startswith(".") and name not in FILES_TO_IGNORE:
                yield os.path.join(parent, name)


def _has_suffix(file: str, suffixes: Sequence[str]) -> bool:
    *_, last = ["", *(suffix for suffix in Path(file).suffixes if suffix.lower() not in _COMPRESSED)]
    return last in suffixes or last.lower() in suffixes or Path(file).suffix.lower() in suffixes


def _of_split(files: Sequence[str], folder: str, split: str | None) -> tuple[str, list[str]] | None:
    """The split to read and its files; None: all of them."""
    exact = {file: _split_of(file, folder, _EXACT.fullmatch) for file in files}
    if split is None:
        if None in exact.values() or "train" not in exact.values():
            return None
        return "train", [file for file in files if exact[file] == "train"]
    told = exact if split in exact.values() else {file: _split_of(file, folder, _SOMEWHERE.search) for file in files}
    if not any(told.values()) and split == "train":
        return None
    if split not in told.values():
        there = sorted({one for one in told.values() if one})
        raise ValueError(
            f"unknown split {split!r}; splits: {there}" if there else f"its files have no split {split!r}"
        )
    return split, [file for file in files if told[file] == split]


def _tests_among(files: Sequence[str], folder: str) -> tuple[str, ...]:
    """Files that are called by a split that is not to be trained on, beside others that are called by `train`."""
    called = {file: _split_of(file, folder, _SOMEWHERE.search) for file in files}
    return (
        tuple(file for file, one in called.items() if one not in (None, "train")) if "train" in called.values() else ()
    )


def _split_of(file: str, folder: str, match: Any) -> str | None:
    *parents, name = Path(file).relative_to(folder).parts
    for part in (*parents, name.split(".")[0]):  # folders go before files
        if found := match(part):
            return _KEYWORDS[found[1]]
    return None


def _saved_files(folder: str, split: str | None) -> Files | None:
    """The files of what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` made."""
    splits = Path(folder, "dataset_dict.json")
    if splits.is_file():
        names, split = json.loads(splits.read_text())["splits"], split or "train"
        if split not in names:
            raise ValueError(f"unknown split {split!r}; splits: {names}")
        there = [file for name in names for file in _saved_in(Path(folder, name))]
        read = _saved_in(Path(folder, split))
        return Files("arrow", tuple(read), tuple(file for file in there if file not in read), split)
    if Path(folder, "state.json").is_file() and Path(folder, "dataset_info.json").is_file():
        if split not in (None, "train"):
            raise ValueError(f"it was saved without splits, so there is no {split!r}; leave the split out")
        return Files("arrow", tuple(_saved_in(Path(folder))))
    return None


def _saved_in(folder: Path) -> list[str]:
    return [str(folder / file["filename"]) for file in json.loads((folder / "state.json").read_text())["_data_files"]]
