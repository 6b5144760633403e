"""The section of a report that one run gets: all that the page shows of it."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from hf_unlab.app.report.examples import HeldOut, Lookup, embed_held_out, lookups_of
from hf_unlab.app.report.pictures import Picture, budget_picture, curves_picture, map_picture
from hf_unlab.app.report.run import Run
from hf_unlab.app.report.tables import Table, tables_of
from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.few_labels.budget import budget_notes
from hf_unlab.few_labels.labelled_features import kept_features
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.facts import HELD_OUT_NAME
from hf_unlab.hub.proof import Proof
from hf_unlab.modalities.checkpoint_files import checkpoint_hash

# By kind of cell: how labelled data and new data are named on the command line.
_OWN_DATA = {
    "text": (
        "json --labelled_train_files train.jsonl --labelled_test_files test.jsonl",
        "json --data_files new.jsonl",
    ),
    "image": ("imagefolder --labelled_data_dir labelled", "imagefolder --data_dir new"),
    "audio": ("audiofolder --labelled_data_dir labelled", "audiofolder --data_dir new"),
}
_SENTENCES = re.compile(r"(?<=\.)\s+(?=[A-Z0-9])")


@dataclass(frozen=True)
class ShownProof:
    """A few-label table.

    Args:
        proof: As the card has it: its title, its verdict, its notes.
        worth: A sentence on how many labels others need for the same; may be empty.
        notes: The other sentences.
        tables: Of the leading measure.
        others: Of further ones.
        picture: Accuracy over labels.
    """

    proof: Proof
    worth: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    others: tuple[Table, ...]
    picture: Picture | None


@dataclass(frozen=True)
class Section:
    """What the page shows of a run.

    Args:
        run: Itself.
        anchor: Where its section is.
        proofs: Its few-label tables.
        curves: Losses and measures over the steps.
        map: Embeddings in the plane.
        map_note: What is on it.
        lookups: What its model finds.
        examples_note: What was embedded, and what that cost; or why nothing was.
        loading: The lines that load the checkpoint.
        commands: What to do next, and how.
        notes: What could not be shown.
    """

    run: Run
    anchor: str
    proofs: tuple[ShownProof, ...]
    curves: Picture | None
    map: Picture | None
    map_note: str
    lookups: tuple[Lookup, ...]
    examples_note: str
    loading: str
    commands: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def section_of(run: Run, anchor: str, **limits: Any) -> Section:
    """All that a page shows of a run; what fails is left out, and a line says why.

    Args:
        run: From `read_run`.
        anchor: Where its section is.
        **limits: Of `embed_held_out`.
    """
    notes = run.notes
    held_out = notes.attempt("What its examples look like", lambda: embed_held_out(run, **limits), None)
    noun = run.modality.noun if run.modality else "examples"
    lookups: list[Lookup] = []
    if held_out is not None:
        lookups = notes.attempt("What lies near", lambda: lookups_of(held_out, noun), lookups)
    drawn = notes.attempt("The map", lambda: _map_of(run, held_out, noun), None)
    return Section(
        run,
        anchor,
        tuple(_shown_proof(run, i) for i in range(len(run.proofs))),
        notes.attempt("The curves", lambda: curves_picture(run.history), None),
        drawn[0] if drawn else None,
        drawn[1] if drawn else "",
        tuple(lookups),
        _note_on(run, held_out, noun),
        run.loading.lines if run.loading else "",
        tuple(_commands(run)),
        tuple(notes.lines),
    )


def _shown_proof(run: Run, index: int) -> ShownProof:
    proof, table = run.proofs[index], run.tables[index]
    picture, worth = None, ""
    if table is not None:
        picture = run.notes.attempt("The picture of the label budget", lambda: budget_picture(table), None)
        worth = run.notes.attempt("Label efficiency", lambda: _worth(table), "")
    notes = [sentence for sentence in _SENTENCES.split(proof.notes) if sentence and sentence != worth]
    return ShownProof(
        proof, worth, tuple(notes), tuple(tables_of(proof.table)), tuple(tables_of(proof.others)), picture
    )


def _worth(table: FewLabelTable) -> str:
    """The sentence on label efficiency, where two numbers of labels were measured."""
    notes = budget_notes(table.rows, len(table.seeds), table.chance)
    return notes[0] if notes and len(table.num_labels_per_class) > 1 else ""


def _map_of(run: Run, held_out: HeldOut | None, noun: str) -> tuple[Picture, str] | None:
    """Labelled test examples where some are kept; else what is held out."""
    how = "in the plane of their two largest principal components"
    kept = kept_features(run.folder, checkpoint_hash(run.checkpoint)) if run.checkpoint else None
    if kept is not None and len(kept) > 1:
        task, number = kept.metadata.get("task", ""), kept.metadata.get("num_test", len(kept))
        note = f"{len(kept):,} of {number:,} test examples{f' of {task}' if task else ''} {how}. "
        note += "The colours are labels, of which pretraining saw none."
        return map_picture(kept, ""), note
    if held_out is None or len(held_out) < 2:
        return None
    return map_picture(
        Embeddings(held_out.features), ""
    ), f"{len(held_out):,} held-out {noun} {how}; they have no labels."


def _note_on(run: Run, held_out: HeldOut | None, noun: str) -> str:
    if held_out is not None:
        return (
            f"Loading the model and embedding {len(held_out):,} of {held_out.num_held_out:,} held-out {noun} took "
            f"{held_out.seconds:.1f} s."
        )
    if run.checkpoint is None:
        return "No model has been saved here yet, so there are no embeddings to show."
    if not (run.folder / HELD_OUT_NAME).is_file():
        return "No held-out examples are kept with this run, so none are shown."
    return ""


def _commands(run: Run) -> list[tuple[str, str]]:
    """What to do next; with an adapter or a classifier there is nothing left to learn."""
    if run.checkpoint is None or run.modality is None:
        return []
    where = shlex.quote(str(run.checkpoint))
    labelled, new = _OWN_DATA.get(run.modality.column, _OWN_DATA["text"])
    publish = ("Publish it with its proof", f"hf-unlab publish {where} ME/NAME --licence apache-2.0 --dry_run")
    if run.loading is None or run.loading.kind == "peft" or (run.checkpoint / "classifier.json").is_file():
        return [publish]
    return [
        ("Learn a classifier from a few labels", f"hf-unlab finetune {where} {labelled} -o classifier"),
        ("Let it answer", f"hf-unlab predict classifier {new} -o answers.csv"),
        ("Measure it on your own data", f"hf-unlab evaluate {where} --dataset {new}"),
        publish,
    ]
