"""From a path to settings that can be launched, step by step."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hf_unlab.app.progress import console
from hf_unlab.app.start.columns import MOST_CLASSES
from hf_unlab.app.start.commands import launch, shown, threads_here
from hf_unlab.app.start.decoding import try_decoding
from hf_unlab.app.start.labels import evaluation_command, labelled_settings
from hf_unlab.app.start.listing import MODALITIES, Listing, list_files
from hf_unlab.app.start.planning import Plan, make_plan
from hf_unlab.app.start.reading import Sample, read_sample, unsaid
from hf_unlab.app.start.roles import Corrections, Roles, find_roles
from hf_unlab.app.start.saying import planned, seen
from hf_unlab.app.start.settings_file import compose, write
from hf_unlab.app.start.sizing import slowness
from hf_unlab.evaluation.label_values import shortened


def start(
    path: str,
    output: Path,
    said: Corrections,
    *,
    overwrite: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[str]]:
    """Look at data, say what would be done with it, and write the settings.

    Args:
        path: A folder or a file.
        output: The file of settings; those of an earlier stage are written beside it.
        said: What is known better than it can be guessed.
        overwrite: Whether files may be written over.
        clock: Tells seconds.

    Returns:
        The commands that run it, one behind the other, as words.

    Raises:
        ValueError: There is nothing that can be pretrained on, or a file is in the way; says how to mend it.
        ImportError: A package of an extra is missing.
    """
    _check_said(said, output)
    console.print(f"Looking at {path} ...", markup=False)
    listing = list_files(path, said.modality)
    _refuse_loose_captions(listing, said)
    sample = read_sample(listing)
    roles = find_roles(listing, sample, said)
    tried = try_decoding(sample.rows, roles, clock)
    with unsaid():
        labelled, remarks = labelled_settings(listing, sample, roles)
    plan = make_plan(sample, roles, tried, labelled, _free_folder(output), slowness(clock))
    paths = _paths(output, len(plan.stages), overwrite)
    for line in seen(listing, sample, roles):
        console.print(line, markup=False)
    for line in planned(plan, [*remarks, *_notes(listing, sample, roles, bool(labelled))]):
        console.print(line, markup=False)
    return _write(plan, paths, listing, sample, roles, bool(labelled))


def _check_said(said: Corrections, output: Path) -> None:
    if said.modality not in (None, *MODALITIES):
        raise ValueError(f"--modality {said.modality}: give one of {', '.join(MODALITIES)}.")
    if output.suffix not in (".yaml", ".yml"):
        raise ValueError(f"-o {output}: settings are written as YAML; call the file {output.with_suffix('.yaml')}.")


def _refuse_loose_captions(listing: Listing, said: Corrections) -> None:
    """Texts that lie beside images are read from an archive of both."""
    if listing.builder != "imagefolder" or not listing.captioned or listing.metadata or said.modality == "image":
        return
    if said.text_column == "none":
        return
    raise ValueError(
        f"{listing.path} holds captions in files beside the images, which are read from an archive: "
        f"tar --sort=name -cf pairs.tar -C {listing.path} . && hf-unlab start pairs.tar (or --text_column none, for "
        "the images alone)."
    )


def _free_folder(output: Path) -> str:
    """Where checkpoints go: a folder called as the file, and not one that holds another run."""
    number, folder = 1, Path("outputs") / output.stem
    while any(path.exists() for path in (folder, folder.with_name(f"{folder.name}_best_rq"))):
        number += 1
        folder = Path("outputs") / f"{output.stem}_{number}"
    return str(folder)


def _paths(output: Path, number: int, overwrite: bool) -> list[Path]:
    """A file for each stage; the last one is called as the user says.

    Raises:
        ValueError: One is there.
    """
    first = [output.with_name(f"{output.stem}_first{output.suffix}")] if number > 1 else []
    paths = [*first, output]
    if (there := [path for path in paths if path.exists()]) and not overwrite:
        raise ValueError(f"{there[0]} is there already: name another file (-o), or say --overwrite.")
    return paths


def _notes(listing: Listing, sample: Sample, roles: Roles, is_proved: bool) -> list[str]:
    notes = []
    if roles.label is not None and not is_proved and not (sample.splits.test or sample.splits.test_files):
        if sample.source.options:
            notes.append(
                "The labels can be measured on once the data is a file of the usual form (comma, header, UTF-8)."
            )
        else:
            notes.append(
                "Nothing is kept apart to test on (files or folders called train and test). The last command "
                "measures the labels by halves, of examples that training has seen without them."
            )
    if listing.tables and not listing.metadata:
        notes.append(
            f"{Path(listing.tables[0]).name} may tell more of these files: it is read where it is called metadata.csv "
            "(or .jsonl), with a column file_name."
        )
    if roles.modality == "audio" and (listing.captioned or _transcripts(roles)):
        notes.append("Transcripts are not needed to pretrain: recipes/wav2vec2/finetune_ctc.py learns from them.")
    return [*notes, *_unused(listing, roles)]


def _unused(listing: Listing, roles: Roles) -> Iterator[str]:
    """What looks as if it said something of labels or tests, and is not read so."""
    for column in roles.columns:
        if column.name.lower() == "split" and len(column.values or ()) > 1:
            yield (
                f"The column {column.name} keeps no rows apart ({', '.join(column.values or ())}): files or folders "
                "that are called so do."
            )
    folders = sorted({Path(file).parent.name for file in listing.files})
    if listing.builder == "text" and roles.label is None and 2 <= len(folders) <= MOST_CLASSES:
        yield (
            f"The folders ({shortened(folders)}) may be classes, which files of text do not tell: a CSV with the "
            "columns text and label would."
        )


def _transcripts(roles: Roles) -> bool:
    return any(column.kind == "text" and column.num_words >= 2 for column in roles.others())


def _write(
    plan: Plan, paths: list[Path], listing: Listing, sample: Sample, roles: Roles, is_proved: bool
) -> list[list[str]]:
    """Write the files and show the commands."""
    commands, threads = [], threads_here()
    for stage, path in zip(plan.stages, paths, strict=True):
        command = launch(stage, path, threads)
        header = [
            f"Settings of recipes/{stage.recipe} for {listing.path}, written by hf-unlab start. Every other setting "
            f"can be added: {stage.recipe}/pretrain.py --help lists them. Paths are seen from where it is run:",
        ]
        text = compose(stage, header, "Labels: behind the training, accuracy with few of them is measured.")
        head, _, rest = text.partition("\n\n")
        shown_command = "\n".join(f"#   {line}" for line in shown(command).splitlines())
        write(stage, path, f"{head}\n#\n{shown_command}\n\n{rest}")
        console.print(f"Wrote {path}: change there what was guessed wrongly.", markup=False)
        commands.append(command)
    if not is_proved and (evaluate := evaluation_command(sample, roles, plan.stages[-1].output_dir)):
        commands.append(evaluate)
    console.print("Run it:\n", markup=False)
    for command in commands:
        console.print(shown(command), markup=False)
    console.print()
    return commands
