"""What a path holds: its files by format, listed in bounded time; one sentence where there is nothing to read."""

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hf_unlab.streams.builders import BUILDERS
from hf_unlab.streams.files import file_builder, walk

MODALITIES = ("text", "image", "image_text", "audio")
MAX_FILES = 100_000
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_OF_SAVED = ("state.json", "dataset_info.json", "dataset_dict.json")  # what save_to_disk writes beside data
NOUNS = {
    "text": "text",
    "json": "JSON",
    "csv": "CSV",
    "parquet": "parquet",
    "arrow": "arrow",
    "webdataset": "tar",
    "imagefolder": "image",
    "audiofolder": "audio",
}
_MORE_TEXT = (".md", ".markdown", ".rst", ".text", ".log", ".tex")
_ARCHIVES = {
    ".zip": "unzip -d {folder} {file}",
    ".7z": "7z x -o{folder} {file}",
    ".rar": "unrar x {file} {folder}/",
    ".tgz": "mkdir {folder} && tar -xf {file} -C {folder}",
}
_OF_MODALITY = {
    "text": ("text", "json", "csv", "parquet", "arrow"),
    "image": ("imagefolder", "webdataset", "parquet", "arrow"),
    "image_text": ("imagefolder", "webdataset", "parquet", "arrow"),
    "audio": ("audiofolder", "webdataset", "parquet", "arrow"),
}


@dataclass(frozen=True)
class Listing:
    """The files of one format at a path.

    Args:
        path: As it was given: a file or a folder.
        builder: What reads them.
        files: Their paths, without those of metadata.
        others: How many files of which other suffixes lie beside them.
        is_whole: Whether all files were listed.
        metadata: Files of a folder of images or recordings that say more of each.
        tables: Files of rows beside them, which are not read.
        captioned: Files that have one of the same name and .txt beside them.
    """

    path: str
    builder: str
    files: tuple[str, ...]
    others: Counter[str]
    is_whole: bool = True
    metadata: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    captioned: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether a folder was given."""
        return os.path.isdir(os.path.expanduser(self.path))

    @property
    def is_of_files(self) -> bool:
        """Whether each file is an example."""
        return self.builder in ("imagefolder", "audiofolder")


def format_of(file: str) -> str | None:
    """The builder that reads a file, by its name; None if none does.

    Example:
        >>> [format_of(name) for name in ("a.jsonl.gz", "b.PNG", "c.wav", "d.md", "e.docx")]
        ['json', 'imagefolder', 'audiofolder', 'text', None]
    """
    suffix = Path(file).suffix.lower()
    for builder in ("imagefolder", "audiofolder"):
        if suffix in BUILDERS[builder].EXTENSIONS:
            return builder
    if suffix in _MORE_TEXT:
        return "text"
    try:
        return file_builder(os.path.basename(file))
    except ValueError:
        return None


def list_files(path: str, modality: str | None = None) -> Listing:
    """Find what of a path can be read: of a folder the files of the format that most of them are of.

    Args:
        path: A file or a folder.
        modality: The formats that may hold it alone, if somebody says.

    Raises:
        ValueError: There is no such path, or nothing there that can be read; says what to do.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = [(folder / name).touch() for name in ("a.txt", "b.txt", "c.docx")]
        >>> found = list_files(str(folder))
        >>> found.builder, len(found.files), found.others
        ('text', 2, Counter({'.docx': 1}))
    """
    there = os.path.expanduser(path)
    if not os.path.exists(there):
        raise ValueError(_not_there(path))
    if not os.access(there, os.R_OK):
        raise ValueError(f"{path} may not be read by you; change its permissions (chmod +r), or copy it.")
    if os.path.isfile(there):
        builder = format_of(there)
        if builder is None:
            raise ValueError(_unreadable(path, [there]))
        return Listing(path, builder, (there,), Counter())
    files = list(islice(walk(there), MAX_FILES + 1))
    is_whole, files = len(files) <= MAX_FILES, files[:MAX_FILES]
    if not files:
        raise ValueError(f"{path} holds no file: name the folder, or the file, that the data is in.")
    return _of_folder(path, files, is_whole, modality)


def _of_folder(path: str, files: list[str], is_whole: bool, modality: str | None) -> Listing:
    metadata = tuple(file for file in files if os.path.basename(file) in METADATA)
    of_format: dict[str, list[str]] = {}
    is_saved = any(os.path.basename(file) == _OF_SAVED[0] for file in files)
    for file in files:
        if is_saved and os.path.basename(file) in _OF_SAVED:
            continue
        if file not in metadata and (builder := format_of(file)):
            of_format.setdefault(builder, []).append(file)
    allowed = _OF_MODALITY[modality] if modality else tuple(BUILDERS)
    counts = {builder: len(of_format[builder]) for builder in allowed if builder in of_format}
    if not counts and metadata and "json" in allowed:  # a file of rows that is called so, and nothing beside it
        return Listing(path, format_of(metadata[0]) or "json", metadata, Counter(), is_whole)
    if not counts:
        raise ValueError(_unreadable(path, files, modality))
    captions = _captions(of_format)
    if captions and not modality:
        counts.pop("text", None)
    builder = max(counts, key=lambda name: counts[name])
    read = of_format[builder]
    suffixes = (Path(file).suffix.lower() or "no suffix" for file in files)
    others = Counter(suffixes) - Counter(Path(file).suffix.lower() for file in [*read, *metadata])
    is_of_files = builder in ("imagefolder", "audiofolder")
    return Listing(
        path,
        builder,
        tuple(read),
        others,
        is_whole,
        metadata if is_of_files else (),
        tuple(file for name in ("csv", "json") for file in of_format.get(name, ())) if is_of_files else (),
        captions if is_of_files else (),
    )


def _captions(of_format: dict[str, list[str]]) -> tuple[str, ...]:
    """The images or recordings beside which a text of the same name lies, if that is how most of them are."""
    stems = {os.path.splitext(file)[0] for file in of_format.get("text", ()) if file.lower().endswith(".txt")}
    files = max((of_format.get(name, []) for name in ("imagefolder", "audiofolder")), key=len)
    captioned = tuple(file for file in files if os.path.splitext(file)[0] in stems)
    return captioned if 2 * len(captioned) > len(files) else ()


def _not_there(path: str) -> str:
    mend = f"looked from {Path.cwd()}"
    if path.count("/") == 1 and not path.startswith((".", "~", "/")):
        mend += "; a data set of the Hub is named to a recipe itself, as --dataset"
    if "://" in path:
        mend = "links are named to a recipe itself, as --data_files"
    return f"{path}: there is no such file or folder ({mend})."


def _unreadable(path: str, files: Sequence[str], modality: str | None = None) -> str:
    """Nothing that a builder reads: what to make of it."""
    for file in files:
        command = _ARCHIVES.get(Path(file).suffix.lower())
        if command and len(files) <= 10:
            folder = shlex.quote(str(Path(file).with_suffix("")))
            command = command.format(folder=folder, file=shlex.quote(file))
            return (
                f"{file} is an archive, which is not read as it is: unpack it, and name the folder: {command} && "
                f"hf-unlab start {folder}"
            )
    known = f"{' '.join(_OF_MODALITY[modality])}, for {modality}" if modality else ", ".join(NOUNS.values())
    suffixes = Counter(Path(file).suffix.lower() or "no suffix" for file in files).most_common(3)
    there = ", ".join(f"{number:,} of {suffix}" if len(files) > 1 else suffix for suffix, number in suffixes)
    mend = {
        ".pdf": "write their text into .txt files first (pdftotext FILE.pdf)",
        ".docx": "write their text into .txt files first (pandoc FILE.docx -t plain -o FILE.txt)",
        ".doc": "write their text into .txt files first (soffice --convert-to txt FILE.doc)",
        ".html": "write their text into .txt files first (pandoc FILE.html -t plain -o FILE.txt)",
        ".heic": "make JPEGs of them first (mogrify -format jpg *.heic)",
        ".xlsx": "save the sheet as CSV first",
    }.get(suffixes[0][0], "bring them into one of these")
    return f"{path} holds nothing that can be read ({there}): {mend}. Read are files of {known}."
