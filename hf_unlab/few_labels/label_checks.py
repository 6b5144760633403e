"""What can be wrong with labels is found before the training, and not hours later, when the proof is to be made."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from transformers import TrainingArguments

from hf_unlab.evaluation.label_reading import LabelledRows, read_rows, sample_rows, warn_of
from hf_unlab.evaluation.label_values import check_classes, shortened
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.left_out import check_groups, share_groups
from hf_unlab.few_labels.methods import refuse_not_positive
from hf_unlab.few_labels.rows import rare_note
from hf_unlab.few_labels.sampling import check_draws
from hf_unlab.modalities.modality import Modality
from hf_unlab.modalities.settings import FEW_LABEL_ROWS, FewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.training.metrics import gather_objects

MAX_CHECKED = 100_000  # examples of each split whose labels are read before the training


def check_labels(
    settings: FewLabelSettings, training: list[Source], modality: Modality, args: TrainingArguments
) -> None:
    """Refuse labels that `prove` could make no table of, and warn of what it will leave out.

    Labels and groups alone are read, nothing is decoded, and no more than the first 100,000 examples of a split. One
    process reads; all fail if it fails.

    Args:
        settings: The labelled data, and how much of it.
        training: The raw sources of pretraining.
        modality: Says which column is classified.
        args: Of the run: which process this is.

    Raises:
        ValueError: The labelled data cannot be read or has no labels, an example has several labels or a continuous
            one, a class of the test data has no label, there is but one class, or a group cannot be left out.

    Example:
        >>> check_labels(settings, sources, get_modality("text"), args)  # doctest: +SKIP
    """
    error: Exception | None = None
    if args.process_index == 0:
        try:
            warn_of(examine_labels(settings, training, modality.column))
        except Exception as found:  # whatever it is, the others must not wait for this process
            error = found
    told = gather_objects(None if error is None else (isinstance(error, ValueError), str(error)))[0]
    if error is not None:
        raise error
    if told is not None:
        is_value_error, message = told
        raise ValueError(message) if is_value_error else SystemExit(1)  # the first process says why


def examine_labels(settings: FewLabelSettings, training: list[Source], column: str) -> list[str]:
    """What is to be said of the labels, sentence by sentence.

    Args:
        settings: As in `check_labels`.
        training: As in `check_labels`.
        column: The modality's, which must be there.

    Raises:
        ValueError: As in `check_labels`.
    """
    sources = settings.labelled_sources(training)
    if sources is None:
        return []
    check_settings(settings)
    pool, test = (read_rows(source, column, labels_only=True, num_examples=MAX_CHECKED) for source in sources)
    return [*pool.remarks, *test.remarks, *check_splits(settings, pool, test)]


def check_settings(settings: FewLabelSettings) -> None:
    """Refuse counts, rates and names of rows that the proof can make nothing of.

    Raises:
        ValueError: One is too low.

    Example:
        >>> check_settings(FewLabelSettings(few_label_max_test=0))
        Traceback (most recent call last):
        ValueError: The few-label table: few_label_max_test is 0; it must be above 0.
    """
    check_draws(settings.num_labels_per_class, settings.few_label_seeds)
    names = ("few_label_max_pool", "few_label_max_test", "finetune_steps", "finetune_learning_rate")
    refuse_not_positive("The few-label table", **{name: vars(settings)[name] for name in names})
    unknown = [repr(row) for row in settings.few_label_rows if row not in FEW_LABEL_ROWS]
    if unknown or not settings.few_label_rows:
        named = unknown[0] if unknown else "nothing"
        raise ValueError(f"few_label_rows names {named}; take some of {', '.join(FEW_LABEL_ROWS)}.")


def check_splits(settings: FewLabelSettings, pool: LabelledRows, test: LabelledRows) -> list[str]:
    """Whether labels to draw from and to test on go together.

    Args:
        settings: How many labels are drawn.
        pool: What they are drawn from.
        test: What is tested on.

    Returns:
        What should be known of them, sentence by sentence: classes with fewer labels than asked for, and others.

    Raises:
        ValueError: A class of the test data has no label, there is but one class, or a group cannot be left out.

    Example:
        >>> pool = LabelledRows([{"label": "no"}, {"label": "yes"}, {"label": "yes"}], 3)
        >>> check_splits(FewLabelSettings(num_labels_per_class=[2]), pool, pool)
        ['One class has fewer than 2 labels, and all of them are taken: no (1).']
    """
    if not (pool.is_whole and test.is_whole):  # a class that is not among the first examples may come behind them
        return [f"Only the first {MAX_CHECKED:,} labels of a split were looked at; the others are when the run ends."]
    check_classes(list(pool.sizes), list(test.sizes))
    num_per_class = max(settings.num_labels_per_class)
    drawn_from = replace(pool, rows=sample_rows(pool.rows, settings.few_label_max_pool, num_per_class))
    if any("group" in row for row in drawn_from.rows):
        parts = [_without_inputs(rows, sorted(pool.sizes)) for rows in (drawn_from, test)]
        if share_groups(*parts):
            check_groups(*parts)
    remarks = []
    if rare := {name: size for name, size in pool.sizes.items() if size < num_per_class}:
        remarks.append(rare_note(rare, num_per_class, "are"))
    if cut := [name for name, size in drawn_from.sizes.items() if size < min(num_per_class, pool.sizes[name])]:
        remarks.append(
            f"few_label_max_pool, {settings.few_label_max_pool:,}, leaves fewer than {num_per_class:,} labels of "
            f"classes that have more: {shortened(sorted(cut))}. Raise it to draw {num_per_class:,} of each."
        )
    if len(test.sizes) == 1:
        remarks.append(f"All test examples are {next(iter(test.sizes))!r}: to answer that always scores 100%.")
    return remarks


def _without_inputs(rows: LabelledRows, names: Sequence[str]) -> LabelledData:
    labels = np.array([names.index(row["label"]) for row in rows.rows], dtype=np.int64)
    groups = tuple(row["group"] for row in rows.rows)
    return LabelledData(range(len(labels)), labels, tuple(names), groups)
