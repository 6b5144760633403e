"""`hf-unlab finetune`, recipes' finetune.py and `hf-unlab predict`: a classifier of a few labels, and its answers."""

import csv
import dataclasses
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
from accelerate.utils import get_int_from_env

from hf_unlab.app.console import exit_cleanly, quiet_libraries
from hf_unlab.app.embedding import load, sources_of
from hf_unlab.app.progress import console
from hf_unlab.evaluation.labelled import LabelledData, load_train_and_test, load_unlabelled, readable
from hf_unlab.evaluation.measures.classification import classification_scores, expected_calibration_error
from hf_unlab.few_labels.folders import read_card
from hf_unlab.few_labels.frozen import FrozenClassifier, FrozenMethod, FrozenSettings, refuse_one_class
from hf_unlab.few_labels.kept import Classifier, fit_classifier, load_classifier, settings_of
from hf_unlab.few_labels.rows import rare_note
from hf_unlab.few_labels.sampling import rare_classes, sample_few_labels
from hf_unlab.modalities.modality import Modality
from hf_unlab.modalities.settings import FewLabelSettings, named_columns
from hf_unlab.streams.sources import Source, iterate, open_stream
from hf_unlab.streams.whole_files import written_whole
from hf_unlab.training.finetuning import refuse_overwriting

BUILDERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
NUM_TOGETHER = 1000  # rows that are decoded and answered at a time


@dataclass
class FinetuneSettings:
    """From a checkpoint and a few labels to a classifier; data by the recipes' settings of labelled data."""

    model: str = field(metadata={"is_checkpoint": True, "help": "The pretrained checkpoint: a folder or a Hub id."})
    output_dir: str = field(default="outputs/classifier", metadata={"help": "Where the classifier goes."})
    method: str = field(
        default="auto",
        metadata={
            "help": "auto (all features, blended by the labels), probe, cheap (the baselines alone), centroid; pairs, "
            "pairs-lora (SetFit's way); or of networks full, lp-ft (probe first, then all weights), lora, dora, ia3."
        },
    )
    second_use: str = field(
        default="both", metadata={"help": "Of examples without label: both, spreading, self-training or none."}
    )
    network: str = field(
        default="small",
        metadata={
            "help": "Whether auto fine-tunes all weights, too, and asks both: small (up to 5 M weights, of images and "
            "recordings; seconds), always or never."
        },
    )
    labels_per_class: int | None = field(
        default=None, metadata={"help": "Labels to draw; by default all, of 20,000 examples at most."}
    )
    seed: int = field(default=0, metadata={"help": "Of the draw, and of a network."})
    unlabelled: str | None = field(
        default=None,
        metadata={"help": "Raw data of the same kind, learnt from as well; its columns are called as the labelled."},
    )
    unlabelled_files: list[str] | None = field(default=None, metadata={"help": "Files of it."})
    num_unlabelled: int = field(default=10_000, metadata={"help": "Rows of it at most."})


def finetune_on_one_process(labelled: FewLabelSettings, settings: FinetuneSettings, modality: str) -> None:
    """As `finetune`, for a script: a mistake is a line, and of several processes that were launched one does it.

    Args:
        labelled: The labelled data.
        settings: What is learnt from it, and how.
        modality: By name.
    """
    with exit_cleanly(), quiet_libraries():
        if get_int_from_env(["RANK"], 0) == 0:
            finetune(labelled, settings, modality)


def finetune(labelled: FewLabelSettings, settings: FinetuneSettings, modality: str | None = None) -> Classifier:
    """Learn, measure where there is something to test on, and save.

    Args:
        labelled: The labelled data.
        settings: What is learnt from it, and how.
        modality: By name; None: told from the checkpoint.

    Raises:
        ValueError: The checkpoint or the data cannot be read, or there is nothing to learn.
    """
    method = settings_of(settings.method, settings.second_use, settings.network)
    refuse_overwriting(settings.model, settings.output_dir)
    loaded = load(settings.model, modality)
    labelled = _of_one_file(labelled)
    if settings.labels_per_class is not None:
        labelled = dataclasses.replace(labelled, num_labels_per_class=[settings.labels_per_class])
    raw = _unlabelled(settings, labelled, loaded.modality)
    train, test, remarks = load_train_and_test(labelled, raw, loaded.modality, loaded.encoder)
    refuse_one_class(train)
    train, rest = _drawn(train, settings, remarks)
    more = load_unlabelled(raw, labelled, loaded.modality, loaded.encoder, settings.num_unlabelled)
    unlabelled = [*rest.inputs, *more] if isinstance(method, FrozenSettings) else []
    for remark in remarks:
        console.print(textwrap.fill(remark, 80))
    console.print(f"{len(train):,} labels of {len(train.label_names)} classes, {len(unlabelled):,} without label")
    classifier = fit_classifier(settings.model, loaded.modality, train, unlabelled, rest.groups, method, settings.seed)
    metrics = measured(classifier, test) if test is not None else {}
    known = {"num_labels": len(train), "num_unlabelled": len(unlabelled), **metrics}
    classifier.save(settings.output_dir, known, reading=_reading(labelled))
    _say(classifier, metrics, Path(settings.output_dir))
    return classifier


def _drawn(train: LabelledData, settings: FinetuneSettings, remarks: list[str]) -> tuple[LabelledData, LabelledData]:
    """Those whose label is used, and the others."""
    if settings.labels_per_class is None:
        return train, train.take(np.array([], dtype=np.int64))
    if rare := rare_classes(train.labels, settings.labels_per_class, train.label_names):
        remarks.append(rare_note(rare, settings.labels_per_class))
    drawn = sample_few_labels(train.labels, settings.labels_per_class, settings.seed)
    return train.take(drawn), train.take(np.setdiff1d(np.arange(len(train)), drawn))


def measured(classifier: Classifier, test: LabelledData) -> dict[str, Any]:
    """Accuracy and calibration on examples that nothing was learnt from."""
    probabilities_NC = classifier.probabilities(test.inputs, test.groups)
    scores = classification_scores(probabilities_NC.argmax(1), test.labels)
    error = expected_calibration_error(probabilities_NC, test.labels)
    return {"num_test": len(test), **scores, "calibration_error": error}


def predict(model: Path, data: str, options: Sequence[str], output: Path, group_column: str | None = None) -> int:
    """Write the class and the probabilities of each row of some data; rows that cannot be read have no line.

    Args:
        model: A folder that `finetune` wrote.
        data: As `--dataset`.
        options: Further options of data.
        output: The file, .csv or .tsv.
        group_column: What each row belongs to; all rows are then read at once, since a group is normalised as one.

    Returns:
        How many rows were answered.

    Raises:
        ValueError: The classifier or the data cannot be read, or the file is to have another format.
    """
    delimiter = {".csv": ",", ".tsv": "\t"}.get(output.suffix.lower())
    if delimiter is None:
        raise ValueError(f"{output} is to be a table of text: end its name in .csv or .tsv.")
    classifier = load_classifier(model)
    modality, names, encoder = classifier.modality, classifier.label_names, classifier.encoder
    if isinstance(classifier, FrozenClassifier):
        classifier.check_groups(bool(group_column))
    source, _ = sources_of(modality, data, options)
    # as much of each is read as was learnt from
    reading = modality.few_label_settings(**read_card(model).get("reading", {}))
    decode = modality.make_decode(reading, encoder)
    columns = [modality.column, *([group_column] if group_column else [])]
    rows = iterate(open_stream(source, columns).select_columns(columns))
    good = readable(({**row, "_row": number} for number, row in enumerate(rows)), modality, decode)
    num_answered = 0
    with written_whole(output) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["row", "label", *(f"probability of {name}" for name in names)])
        while block := list(islice(good, None if group_column else NUM_TOGETHER)):
            sizes = encoder.sizes([row[modality.column] for row in block])
            if not sizes.any():
                continue  # nothing that the encoder reads
            groups = [str(row[group_column]) for row in block] if group_column else []
            answers_NC = classifier.probabilities([row[modality.column] for row in block], groups)
            for row, answer_C in zip(block, answers_NC, strict=True):
                writer.writerow([row["_row"], names[int(answer_C.argmax())], *(f"{share:.6f}" for share in answer_C)])
            num_answered += len(block)
    return num_answered


def _of_one_file(labelled: FewLabelSettings) -> FewLabelSettings:
    """A file alone is one to learn from."""
    path = Path(labelled.labelled_dataset or "")
    if not path.is_file() or path.suffix.lower() not in BUILDERS:
        return labelled
    builder = BUILDERS[path.suffix.lower()]
    return dataclasses.replace(labelled, labelled_dataset=builder, labelled_train_files=[str(path)])


def _reading(labelled: FewLabelSettings) -> dict[str, Any]:
    """How much is read of an example."""
    sizes = {name: value for name, value in vars(labelled).items() if name.startswith("few_label_max_")}
    return {name: value for name, value in sizes.items() if name not in ("few_label_max_pool", "few_label_max_test")}


def _unlabelled(settings: FinetuneSettings, labelled: FewLabelSettings, modality: Modality) -> list[Source]:
    """The raw data that is learnt from, if any."""
    if settings.unlabelled is None:
        return []
    if settings.method not in get_args(FrozenMethod):
        raise ValueError(f"The method {settings.method} learns from labels alone: leave --unlabelled out.")
    if "group" in named_columns(labelled):
        raise ValueError(
            "Labels come with groups, and of the unlabelled data no groups are known: leave --labelled_group_column "
            "out, or --unlabelled."
        )
    columns = {new: old for new, old in named_columns(labelled).items() if new == modality.column}
    return [Source(settings.unlabelled, data_files=settings.unlabelled_files, columns=columns)]


def _say(classifier: Classifier, metrics: dict[str, Any], folder: Path) -> None:
    if metrics:
        console.print(
            f"Right of {metrics['num_test']:,} test examples: {100 * metrics['accuracy']:.1f}%"
            f"  (calibration error {100 * metrics['calibration_error']:.1f}%)"
        )
    if isinstance(classifier, FrozenClassifier):
        shares = read_card(folder)["views"].items()
        console.print("Read by: " + ", ".join(f"{name} {100 * share:.0f}%" for name, share in shares))
    else:
        console.print(f"{classifier.network.num_steps:,} steps of {classifier.settings.kind}")
    console.print(
        f"\nSaved in {folder}. Ask it:\n\n"
        f"    hf-unlab predict {folder} DATA -o answers.csv\n\n"
        f"    from hf_unlab.few_labels.kept import load_classifier\n"
        f'    load_classifier("{folder}").probabilities(inputs)'
    )
