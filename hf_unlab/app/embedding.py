"""`hf-unlab embed`: a checkpoint and data on the command line, a file of embeddings on disk."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.progress import console, row_progress
from hf_unlab.evaluation.embed import EmbedReport, embed
from hf_unlab.evaluation.layers import choose_layer
from hf_unlab.evaluation.row_reader import OF_THE_FILE, EmbedSettings, RowReader
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.checkpoint_files import checkpoint_hash, pinned
from hf_unlab.modalities.detect import modality_of
from hf_unlab.modalities.modality import Encoder, Layer, Modality, TransformersEncoder
from hf_unlab.streams.sources import Source, iterate, open_stream

LEARNED, NUM_CHOOSING = "learned", 500  # a layer's name, and how many labelled rows choose it


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that can embed.

    Args:
        name: As it was given.
        modality: Told from its files.
        encoder: Its own.
    """

    name: str
    modality: Modality
    encoder: Encoder

    def described(self) -> dict[str, Any]:
        """What a file of its embeddings says of it."""
        return {"model": self.name, "checkpoint_hash": checkpoint_hash(self.name)}


def load(name: str, modality: str | None = None, batch_size: int | None = None) -> Loaded:
    """A checkpoint by its folder or Hub id.

    Args:
        name: The folder or id; "ME/NAME@REVISION" for a revision of one.
        modality: Its modality's name; by default told from its files.
        batch_size: Inputs that go through the model at a time, where the encoder has such a number.
    """
    checkpoint = pinned(name)
    value = get_modality(modality or modality_of(checkpoint))
    encoder = value.load_encoder(checkpoint)
    if batch_size is not None:
        if not hasattr(encoder, "batch_size"):
            raise ValueError(f"The batches of {value.noun} are cut by their length: leave --batch_size out.")
        encoder.batch_size = batch_size
    return Loaded(name, value, encoder)


def sources_of(modality: Modality, data: str, argv: Sequence[str]) -> tuple[Source, Source | None]:
    """The data of a command line, and what is to be tested on if some is named (--eval_split, --eval_files, ...).

    Args:
        modality: Whose settings of data the options are.
        data: As `--dataset`.
        argv: Further options.
    """
    (settings,) = parse_arguments(modality.data_settings, argv=["--dataset", data, *argv])
    tested = settings.eval_sources()
    return settings.sources()[0], tested[0] if tested else None


def with_columns(
    source: Source, label: str | None, group: str | None, others: Sequence[str]
) -> tuple[Source, list[str]]:
    """A source that reads label and group by those names, and which columns it then has beside the content.

    Args:
        source: Raw data.
        label: What it calls the label; None: "label", if there is such a column.
        group: The same of groups, such as speakers; None: none.
        others: Further columns, by their own names.
    """
    if label is None and "label" in next(iterate(open_stream(source))):
        label = "label"
    named = {new: old for new, old in (("label", label), ("group", group)) if old}
    columns = {**source.columns, **{new: old for new, old in named.items() if new != old}}
    return replace(source, columns=columns), [*named, *others]


def run(
    loaded: Loaded,
    source: Source,
    output: Path,
    settings: EmbedSettings,
    *,
    with_progress: bool = True,
    num_workers: int | None = None,
) -> EmbedReport:
    """Embed a source, on all processes that were started.

    Args:
        loaded: The checkpoint.
        source: Raw data.
        output: The file.
        settings: How.
        with_progress: Whether to show how far it is.
        num_workers: As in `embed`.
    """
    rank, world_size, wait = 0, 1, lambda: None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        state = PartialState(cpu=not torch.accelerator.is_available())
        rank, world_size, wait = state.process_index, state.num_processes, state.wait_for_everyone
    total = settings.num_rows or rows_of(source)
    shown: AbstractContextManager[Any] = (
        row_progress("Embedding", total) if with_progress and not rank else nullcontext()
    )
    with quiet_libraries(), shown as on_progress:
        return embed(
            loaded.encoder,
            source,
            output,
            loaded.modality,
            settings,
            described=loaded.described(),
            rank=rank,
            world_size=world_size,
            wait=wait,
            on_progress=on_progress,
            num_workers=num_workers,
        )


class Input(NamedTuple):
    """A decoded input, the hash of its content, and its label, if it has one."""

    input: Any
    content_hash: int
    label: str | None


def read_inputs(loaded: Loaded, source: Source, has_labels: bool) -> Iterator[Input]:
    """The good inputs of a source, decoded as they are embedded.

    Args:
        loaded: The checkpoint.
        source: Raw data.
        has_labels: Whether it has a column `label`.
    """
    # small parts: who asks for a few inputs should not wait for a thousand
    settings = EmbedSettings(columns=("label",) if has_labels else (), rows_a_part=64)
    reader = RowReader(loaded.encoder, loaded.modality, settings, source)
    for rows in reader.blocks():
        for good in reader.decode(rows):
            of_it = good[OF_THE_FILE]
            yield Input(good[loaded.modality.column], of_it["content_hash"], of_it.get("label"))


def layer_for(loaded: Loaded, source: Source, layer: Layer, pooling: str | None, has_labels: bool) -> Layer:
    """The layer to embed; for "learned" the one that the first labelled rows of the source choose.

    Args:
        loaded: The checkpoint.
        source: Training data: no labels of test data should choose.
        layer: As it was asked for.
        pooling: As in `Encoder.embed`.
        has_labels: Whether the source has a column `label`.
    """
    if layer != LEARNED:
        return layer
    if not has_labels or not isinstance(loaded.encoder, TransformersEncoder):
        why = "no labels are named" if not has_labels else f"{loaded.name} has no hidden states to choose from"
        raise ValueError(f"--layer {LEARNED} chooses by labels among hidden states, and {why}: name a layer.")
    labelled = islice((one for one in read_inputs(loaded, source, True) if one.label is not None), NUM_CHOOSING)
    chosen = list(labelled)
    names = sorted({str(one.label) for one in chosen})
    labels = [names.index(str(one.label)) for one in chosen]
    found = choose_layer(loaded.encoder, [one.input for one in chosen], labels, pooling)
    console.print(f"Layer {found} of {loaded.name}, chosen by the first {len(chosen):,} labels")
    return found


def rows_of(source: Source) -> int | None:
    """How many rows local data has, counted without decoding; None of what would have to be downloaded for it."""
    if not source.is_local:
        return None
    stream = open_stream(source)
    first = next(iter(iterate(stream)))
    lightest = min(first, key=lambda name: len(repr(first[name])[:1000]))  # images are large
    return sum(len(block[lightest]) for block in stream.select_columns([lightest]).iter(batch_size=1000))


def say(report: EmbedReport, output: Path) -> None:
    """Print what a file holds."""
    parts = [f"{report.num_rows:,} embeddings of {report.num_features:,} features in {output}"]
    if report.num_resumed:
        parts.append(f"{report.num_resumed:,} rows were there already")
    if report.num_skipped:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in report.reasons.items())
        parts.append(f"{report.num_skipped:,} rows were left out" + (f" ({reasons})" if reasons else ""))
    console.print("\n".join(parts))
