"""Which columns are read as what: by the options that say so, else by a guess, with what was seen beside."""

from collections.abc import Sequence
from dataclasses import dataclass

from hf_unlab.app.start.columns import (
    CAPTION_NAMES,
    Column,
    best_group,
    best_label,
    best_text,
    describe,
    file_columns,
    named,
)
from hf_unlab.app.start.listing import Listing
from hf_unlab.app.start.reading import Sample

NONE = "none"  # what an option says where a guess is wrong and nothing is right


@dataclass(frozen=True)
class Corrections:
    """What the command line says in place of guesses; `none` where there is no such column.

    Args:
        modality: text, image, image_text or audio.
        text_column: The text, or the caption.
        image_column: The image.
        audio_column: The recording.
        label_column: The class.
        group_column: The speaker.
    """

    modality: str | None = None
    text_column: str | None = None
    image_column: str | None = None
    audio_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None


@dataclass(frozen=True)
class Roles:
    """What is read as what.

    Args:
        modality: text, image, image_text or audio.
        text: The column with the text, or the caption.
        image: That with the image.
        audio: That with the recording.
        label: That with the class, if there is one.
        group: That with the speaker, if there is one.
        columns: All that were seen.
    """

    modality: str
    text: Column | None = None
    image: Column | None = None
    audio: Column | None = None
    label: Column | None = None
    group: Column | None = None
    columns: tuple[Column, ...] = ()

    @property
    def read(self) -> dict[str, Column]:
        """What pretraining reads, by the names that recipes have for it."""
        return {
            role: column
            for role, column in (("text", self.text), ("image", self.image), ("audio", self.audio))
            if column is not None and role in self.modality.split("_")
        }

    def others(self) -> list[Column]:
        """Columns that could be read in another's place."""
        taken = {column.name for column in (*self.read.values(), self.label, self.group) if column}
        return [column for column in self.columns if column.name not in taken and column.kind != "nested"]


def find_roles(listing: Listing, sample: Sample, said: Corrections) -> Roles:
    """Guess what is read as what.

    Args:
        listing: Where the rows are of.
        sample: The rows.
        said: What is known better.

    Raises:
        ValueError: Nothing can be read as it is; says how to mend it.
    """
    columns = describe(sample.rows, sample.features)
    plain = [column for column in columns if "." not in column.name or column.name in sample.features]
    image = _chosen(plain, said.image_column, "image_column", _of_kind(plain, "image"))
    audio = _chosen(plain, said.audio_column, "audio_column", _of_kind(plain, "audio"))
    group = _chosen(plain, said.group_column, "group_column", best_group(plain))
    label = _chosen(plain, said.label_column, "label_column", None)
    is_caption = image is not None and said.modality != "text"
    usual = {"names": CAPTION_NAMES} if is_caption else {}
    taken = [column.name for column in (label, group) if column]
    free = [column for column in plain if column.name not in taken]
    if is_caption and not said.text_column:  # what few values say of many images is a class and no caption
        free = [column for column in free if not (column.could_be_label and column.share_distinct < 0.2)]
    text = _chosen(plain, said.text_column, "text_column", best_text(free, **usual))
    modality = said.modality or _modality(text, image, audio)
    _check(listing, columns, modality, {"text": text, "image": image, "audio": audio})
    read = [column.name for column in (text if "text" in modality else None, group) if column]
    if said.label_column is None:
        label = best_label(plain, read)
    return Roles(modality, text, image, audio, label, group, tuple(columns))


def _of_kind(columns: Sequence[Column], kind: str) -> Column | None:
    fitting = [column for column in columns if column.kind == kind]
    return next((column for column in fitting if column.name == kind), fitting[0] if fitting else None)


def _chosen(columns: Sequence[Column], name: str | None, option: str, guess: Column | None) -> Column | None:
    if name is None:
        return guess
    return None if name == NONE else named(columns, name, option)


def _modality(text: Column | None, image: Column | None, audio: Column | None) -> str:
    if audio is not None:
        return "audio"
    if image is not None:
        return "image_text" if text is not None else "image"
    return "text"


def _check(listing: Listing, columns: Sequence[Column], modality: str, found: dict[str, Column | None]) -> None:
    """Refuse rows that lack what their modality reads."""
    missing = [role for role in modality.split("_") if found[role] is None]
    if not missing:
        return
    there = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
    inside = best_text([column for column in columns if column.kind == "text" and "." in column.name])
    if missing == ["text"] and inside is not None and inside.num_words >= 2:
        raise ValueError(_how_to_flatten(listing, inside.name))
    if paths := file_columns(columns):
        raise ValueError(
            f"{listing.path} names files (column {paths[0]}) and does not hold them: call it metadata"
            f"{'.csv' if listing.builder == 'csv' else '.jsonl'}, its column {paths[0]} file_name, put it into the "
            "folder that these names start from, and name that folder."
        )
    noun = {"text": "texts", "image": "images", "audio": "recordings"}[missing[0]]
    raise ValueError(
        f"{listing.path} has no column of {noun} that could be told; its columns: {there}. Name it "
        f"(--{missing[0]}_column), or say what the data is (--modality text, image, image_text or audio)."
    )


def _how_to_flatten(listing: Listing, name: str) -> str:
    """What turns a text inside another column into a column of its own."""
    outer, *inner = name.split(".")
    keys = "".join(f"[{key!r}]" for key in inner)
    new = inner[-1]
    line = (
        f"import datasets; datasets.load_dataset({listing.builder!r}, data_files={list(listing.files[:1])!r}, "
        f"split='train').map(lambda row: {{{new!r}: row[{outer!r}]{keys}}}).to_json('flat.jsonl')"
    )
    return (
        f"the texts of {listing.path} lie inside another column ({name}), and readers read columns of their own: "
        f'write them flat, python -c "{line}", and then hf-unlab start flat.jsonl --text_column {new}.'
    )
