"""Held-out examples of a run as its model sees them: embedded, and with what lies nearest to a few of them.

In the names: N examples, C different captions, D features.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_unlab.app.report.cells import Shown, shown
from hf_unlab.app.report.run import Run
from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.measures.neighbours import nearest
from hf_unlab.hub.facts import HELD_OUT_NAME
from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.text.reading import captions_of
from hf_unlab.streams.bad_examples import BadExample, Decode
from hf_unlab.streams.content import content_of
from hf_unlab.training.alone import alone_and_quiet

MOST_EXAMPLES, MOST_SECONDS = 500, 10.0
_FIRST_CHUNK, _MOST_CHUNK = 8, 64  # a large model may take seconds for a few
# By kind of cell: how many are asked about, and how many answers each gets. Recordings make a page large.
_ASKED = {"text": (5, 3), "image": (5, 5), "audio": (3, 3)}


@dataclass(frozen=True)
class HeldOut:
    """Held-out examples, embedded.

    Args:
        column: What was embedded.
        rows: The file's rows that were, N.
        features: (N, D).
        captions: Of images with captions the first caption of each, N; else empty.
        caption_features: Of each different caption, in the order of their first use, (C, D); None without captions.
        seconds: That loading the model and embedding took.
        num_held_out: Examples in the file.
    """

    column: str
    rows: pa.Table
    features: np.ndarray
    captions: tuple[str, ...]
    caption_features: np.ndarray | None
    seconds: float
    num_held_out: int

    def __len__(self) -> int:
        return len(self.features)

    def shown(self, index: int) -> Shown:
        """One of them, as a page shows it."""
        return shown(self.column, self.rows[self.column][index].as_py())


@dataclass(frozen=True)
class Answer:
    """What was found for an example.

    Args:
        cell: Itself.
        cosine: How near it is.
        is_own: Whether it belongs to what was asked about.
    """

    cell: Shown
    cosine: float
    is_own: bool = False


@dataclass(frozen=True)
class Lookup:
    """A few examples, and what was found for each.

    Args:
        title: Of the section.
        note: What is asked.
        rows: Examples and their answers, the nearest first.
    """

    title: str
    note: str
    rows: tuple[tuple[Shown, tuple[Answer, ...]], ...]


def embed_held_out(
    run: Run,
    *,
    most_examples: int = MOST_EXAMPLES,
    most_seconds: float = MOST_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> HeldOut | None:
    """Embed some of the held-out examples of a run, drawn from all of them; None where none are kept.

    Args:
        run: With a checkpoint.
        most_examples: To embed.
        most_seconds: After which no further ones are begun.
        clock: Tells seconds.

    Raises:
        ValueError: No example can be embedded, or a file is damaged.
    """
    path, modality, started = run.folder / HELD_OUT_NAME, run.modality, clock()
    if modality is None or run.checkpoint is None or not path.is_file():
        return None
    table = pq.read_table(path)
    if not len(table):
        return None
    column = modality.column if modality.column in table.column_names else table.column_names[0]
    settings = modality.few_label_settings()
    with alone_and_quiet():
        encoder = modality.load_encoder(str(run.checkpoint), settings=settings)
        caption_column = _caption_column(modality, encoder, table)
        layer = "projection" if caption_column else None
        decode = modality.make_decode(settings, encoder)
        order = np.random.default_rng(0).permutation(len(table))
        used: list[int] = []
        captions: list[str] = []
        parts: list[np.ndarray] = []
        for chunk in _chunks(_distinct(table, column, order, caption_column), decode, modality.column):
            parts.append(features_of(encoder, [value for _, value, _ in chunk], layer))
            used += [index for index, _, _ in chunk]
            captions += [caption for _, _, caption in chunk if caption]
            if len(used) >= most_examples or clock() - started > most_seconds:
                break
        if not used:
            raise ValueError(f"none of the {len(table):,} held-out examples can be read")
        features_ND = np.concatenate(parts)[:most_examples]
        used, captions = used[:most_examples], captions[:most_examples]
        of_captions = None
        if captions:
            of_captions = encoder.class_features(list(dict.fromkeys(captions)), ["{}"]).float().cpu().numpy()
    rows = table.take(pa.array(used))
    return HeldOut(column, rows, features_ND, tuple(captions), of_captions, clock() - started, len(table))


def _caption_column(modality: Modality, encoder: Encoder, table: pa.Table) -> str | None:
    """Where captions are, if the encoder reads some."""
    others = [name for name in modality.raw_columns if name != modality.column and name in table.column_names]
    return others[0] if encoder.reads_names and others else None


def _distinct(
    table: pa.Table, column: str, order: np.ndarray, caption_column: str | None
) -> Iterator[tuple[int, Any, str]]:
    """Cells of rows in some order, each content once; with captions those that have one."""
    seen = set()
    for index in order.tolist():
        row = table.slice(index, 1).to_pylist()[0]
        value = row[column]
        value = next(iter(value), None) if isinstance(value, list) else value
        content = content_of(value)
        captions = captions_of(row[caption_column]) if caption_column else [""]
        if content and captions and content not in seen:
            seen.add(content)
            yield index, value, captions[0]


def _chunks(
    cells: Iterator[tuple[int, Any, str]], decode: Decode | None, column: str
) -> Iterator[list[tuple[int, Any, str]]]:
    """Decoded cells, a few at a time, the first chunk the smallest; what cannot be decoded is left out."""
    chunk: list[tuple[int, Any, str]] = []
    size = _FIRST_CHUNK
    for index, value, caption in cells:
        try:
            chunk.append((index, decode({column: value})[column] if decode else value, caption))
        except BadExample:
            continue
        if len(chunk) == size:
            yield chunk
            chunk, size = [], min(2 * size, _MOST_CHUNK)
    if chunk:
        yield chunk


def lookups_of(held_out: HeldOut, noun: str) -> list[Lookup]:
    """Nearest neighbours of a few held-out examples; of images with captions each side's for the other.

    Args:
        held_out: Embedded examples.
        noun: What they are called, in the plural.
    """
    asked, answers = _ASKED.get(held_out.column, _ASKED["text"])
    if held_out.caption_features is not None:
        return _retrievals(held_out, held_out.caption_features, asked, answers)
    if len(held_out) < 2:
        return []
    asked, answers = min(asked, len(held_out)), min(answers, len(held_out) - 1)
    cosines, found = nearest(held_out.features, held_out.features, answers, exclude_self=True)
    rows = tuple(
        (held_out.shown(i), tuple(Answer(held_out.shown(int(j)), float(c)) for c, j in _pairs(cosines[i], found[i])))
        for i in range(asked)
    )
    note = f"Of a few held-out {noun}, the nearest among {len(held_out) - 1:,} others, by cosine."
    return [Lookup(f"Nearest {noun}", note, rows)]


def _retrievals(held_out: HeldOut, of_captions_CD: np.ndarray, asked: int, answers: int) -> list[Lookup]:
    """Images for captions, and captions for images."""
    names, num_images = list(dict.fromkeys(held_out.captions)), len(held_out)
    captions = [Shown("text", shown("text", name).text) for name in names]
    asked_captions, num_found = min(asked, len(names)), min(answers, num_images)
    cosines, found = nearest(of_captions_CD[:asked_captions], held_out.features, num_found)
    images = tuple(
        (
            captions[i],
            tuple(
                Answer(held_out.shown(int(j)), float(c), held_out.captions[int(j)] == names[i])
                for c, j in _pairs(cosines[i], found[i])
            ),
        )
        for i in range(asked_captions)
    )
    asked_images, num_found = min(asked, num_images), min(3, len(names))
    cosines, found = nearest(held_out.features[:asked_images], of_captions_CD, num_found)
    texts = tuple(
        (
            held_out.shown(i),
            tuple(
                Answer(captions[int(j)], float(c), held_out.captions[i] == names[int(j)])
                for c, j in _pairs(cosines[i], found[i])
            ),
        )
        for i in range(asked_images)
    )
    of = f"of {num_images:,} held-out images and {len(names):,} captions; ✓ marks what belongs together"
    return [
        Lookup("Images for a caption", f"The nearest images, {of}.", images),
        Lookup("Captions for an image", f"The nearest captions, {of}.", texts),
    ]


def _pairs(cosines: Sequence[float], indices: Sequence[int]) -> Iterator[tuple[float, int]]:
    return zip(cosines, indices, strict=True)
