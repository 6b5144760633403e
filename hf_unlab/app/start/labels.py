"""Labels of one's own data: settings by which a recipe ends in a table, where there is data to test on."""

from collections.abc import Sequence
from typing import Any

from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.start.listing import Listing
from hf_unlab.app.start.reading import Sample, as_given
from hf_unlab.app.start.roles import Roles
from hf_unlab.few_labels.label_checks import examine_labels
from hf_unlab.modalities import get_modality
from hf_unlab.streams.sources import Source


def encoder_modality(modality: str) -> str:
    """The modality whose settings say what the labelled data of a recipe is."""
    return "image" if modality == "image_text" else modality


def labelled_settings(listing: Listing, sample: Sample, roles: Roles) -> tuple[dict[str, Any], list[str]]:
    """The settings of labelled data, none where there can be no table; and what is to be said of them.

    Args:
        listing: The files.
        sample: Their rows, and which are for tests.
        roles: Which column is the label.
    """
    splits = sample.splits
    if roles.label is None or not (splits.test or splits.test_files):
        return {}, []
    if sample.source.options:
        options = ", ".join(sample.source.options)
        note = (
            f"Labels are read from files of the usual form alone, and these need {options}: no table is made of them."
        )
        return {}, [note]
    settings: dict[str, Any] = {"labelled_dataset": listing.builder}
    if splits.test_files:
        settings["labelled_train_files"] = [as_given(file, listing.path) for file in splits.train_files]
        settings["labelled_test_files"] = [as_given(file, listing.path) for file in splits.test_files]
    else:
        settings |= {"labelled_data_dir": listing.path, "labelled_test_split": splits.test}
    column = "audio" if roles.modality == "audio" else encoder_modality(roles.modality)
    settings[f"labelled_{column}_column"] = roles.read[column].name
    settings["label_column"] = roles.label.name
    if roles.modality == "audio" and roles.group is not None:
        settings["labelled_group_column"] = roles.group.name
    return _checked(settings, sample.source, roles.modality)


def _checked(settings: dict[str, Any], source: Source, modality: str) -> tuple[dict[str, Any], list[str]]:
    """What the recipe itself would say of them, before it trains."""
    kind = get_modality(encoder_modality(modality))
    defaults = kind.few_label_settings()
    settings = {name: value for name, value in settings.items() if value != vars(defaults)[name]}
    try:
        with quiet_libraries():
            remarks = examine_labels(kind.few_label_settings(**settings), [source], kind.column)
    except ValueError as error:
        return {}, [f"No table of few labels is made: {error}"]
    return settings, remarks


def evaluation_command(sample: Sample, roles: Roles, output_dir: str) -> list[str]:
    """The command that measures a checkpoint on labels that lie in the raw data; empty where there are none.

    Args:
        sample: The data.
        roles: Which column is the label.
        output_dir: The checkpoint's folder.
    """
    source = sample.source
    if roles.label is None or source.options:
        return []
    words = ["hf-unlab", "evaluate", output_dir, "--dataset", source.path]
    files: Sequence[str] = source.data_files or ()
    words += ["--data_files", *files] if files else ["--data_dir", str(source.data_dir)]
    column = encoder_modality(roles.modality)
    for role, found in roles.read.items():
        if found.name != role and role == column:
            words += [f"--{role}_column", found.name]
    return [*words, "--label_column", roles.label.name, "--output_dir", f"{output_dir}/evaluation"]
