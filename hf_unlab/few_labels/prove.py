"""The proof that a checkpoint helps: one table of few-label accuracies, the same for every modality."""

import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hf_unlab.evaluation.labelled import LabelledData, load_labelled, load_unlabelled
from hf_unlab.few_labels.auto import AUTO, AUTO_TWICE, auto_rows
from hf_unlab.few_labels.beside import Parts, beside, embedding, normalised_by_group
from hf_unlab.few_labels.cells import digest_of
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.frozen import FrozenSettings
from hf_unlab.few_labels.label_checks import check_settings
from hf_unlab.few_labels.labelled_features import keep_features
from hf_unlab.few_labels.left_out import check_groups, left_out_table, share_groups
from hf_unlab.few_labels.methods import cheap, finetuned, probed, zero_shot_rows
from hf_unlab.few_labels.networks import NetworkSettings
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.few_labels.unlabelled import SecondUse
from hf_unlab.modalities.checkpoint_files import checkpoint_hash
from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.run_folder import is_claimed

CELLS_NAME = "_few_label_cells"  # with an underscore, so that it is never published
COMPUTED_BY = ("hf-unlab", "torch", "transformers", "scikit-learn")


def prove(
    checkpoint: str | Path,
    modality: Modality,
    settings: FewLabelSettings,
    training: list[Source],
    on_progress: Callable[[str, int, int], None] | None = None,
    *,
    templates: Sequence[str] = ("{}",),
) -> list[FewLabelTable]:
    """Measure what a pretrained encoder is worth with few labels.

    The rows, unless `few_label_rows` names some of them: the modality's cheap baselines; a linear probe on the encoder
    with random weights (drawn anew for each draw of labels) and as pretrained; its features side by side with those of
    baselines that may stand there (words and vectors); what chooses by the labels, without and with unlabelled
    examples; all weights fine-tuned from scratch and as pretrained; and from an encoder that reads names, zero-shot.
    All see the same labels and the same part of each example, probes and fine-tuned models read the same features, and
    where there are groups probes are shown normalised by group too, as the baseline is. Test examples that occur among
    the first million of a source, or in the pool, are left out and counted. Under several processes call it on one of
    them, and let the others leave, or wait with a timeout that is longer.

    Nothing is printed. In the folder of a run finished fits are kept while the tables are not whole, so that the same
    call after an interruption goes on where it was, if the checkpoint, the settings and the labelled data are still
    the same; what stays there are features of up to 500 test examples, for a map of them. Elsewhere nothing is left.

    Args:
        checkpoint: What training saved.
        modality: From `hf_unlab.modalities.get_modality`.
        settings: The labelled data, and how much of it.
        training: The raw sources of pretraining.
        on_progress: Called as (row, fits done, fits in all).
        templates: Prompts of the zero-shot row, {} for the class's name.

    Returns:
        The table, and where there are groups (speakers) another one in which each group is left out of the labels in
        turn. Empty if there are no labels to test with.

    Raises:
        ValueError: A count or rate is too low, the labelled data cannot be read, or labels of a class are missing.

    Example:
        >>> (table,) = prove("out", get_modality("text"), settings, [Source("web.jsonl")])  # doctest: +SKIP
        >>> print(table.render())  # doctest: +SKIP
    """
    check_settings(settings)
    counts, seeds = settings.num_labels_per_class, settings.few_label_seeds
    with alone_and_quiet():
        pretrained = modality.load_encoder(checkpoint, settings=settings)
        untrained = modality.load_encoder(checkpoint, settings=settings, random_weights=True, seed=seeds[0])
        labelled = load_labelled(settings, training, modality, pretrained)
        if labelled is None:
            return []
        pool, test = labelled.pool, labelled.test
        if share_groups(pool, test):
            check_groups(pool, test)  # now, and not when the first table is done
        unlabelled = load_unlabelled(training, settings, modality, pretrained, settings.few_label_num_unlabelled)
        embed = embedding(pool, test)
        encoders, data = (pretrained, untrained), (pool, test)
        candidates = _candidates(modality, encoders, settings, data, embed, unlabelled, templates)
        more: dict[str, Any] = {
            "task": labelled.task,
            "overlaps": tuple(labelled.overlap.sentences()),
            "limits": (settings.limit(),) if settings.limit() else (),
        }
        cells = Path(checkpoint) / CELLS_NAME if is_claimed(Path(checkpoint)) else None
        if cells is not None:
            inputs = pool.inputs, test.inputs, pool.groups, test.groups, pool.label_names
            weights = checkpoint_hash(checkpoint)
            known = weights, modality.name, settings, templates, _versions()
            more |= {"cells": cells, "key": digest_of((*known, *inputs))}
        labels = {"label_names": pool.label_names, **more}
        tables = [few_label_table(candidates, pool.labels, test.labels, counts, seeds, on_progress, **labels)]
        if share_groups(pool, test):
            tables.append(left_out_table(candidates, pool, test, counts, seeds, on_progress, **more))
        if cells is not None:
            keep_features(cells.parent, lambda: embed(pretrained)[1], test, labelled.task, weights)
            shutil.rmtree(cells, ignore_errors=True)
        return tables


def _candidates(
    modality: Modality,
    encoders: tuple[Encoder, Encoder],
    settings: FewLabelSettings,
    data: tuple[LabelledData, LabelledData],
    embed: Callable[[Encoder], Parts],
    unlabelled: Sequence[Any],
    templates: Sequence[str],
) -> list[Candidate]:
    """The rows that are asked for, in the order of the table, of an encoder pretrained and not, on pool and test."""
    (pretrained, untrained), (pool, test) = encoders, data
    rate = settings.finetune_learning_rate
    fit = NetworkSettings("full", max_steps=settings.finetune_steps, learning_rate=rate, head_learning_rate=rate)
    baselines = modality.make_baselines(pretrained, (*pool.groups, *test.groups))
    by_group = embedding(*normalised_by_group(pretrained, pool, test))
    embeds: dict[str, Any] = {"embed": embed, "embed_by_group": by_group}
    wanted = settings.few_label_rows
    methods = {AUTO: "auto", AUTO_TWICE: "unlabelled"}
    second_use: SecondUse | None = "both" if "unlabelled" in wanted else None
    use = FrozenSettings(second_use=second_use, network=settings.few_label_network)

    def autos() -> list[Candidate]:
        both = auto_rows("pretrained", pretrained, baselines, pool, test, use, unlabelled, **embeds)
        return [row for row in both if methods[row.method] in wanted]

    makers: dict[str, Callable[[], Sequence[Candidate]]] = {
        "cheap": lambda: [cheap(each, pool, test) for each in baselines],
        "random": lambda: probed("random weights", untrained, pool, test, is_random=True),
        "probe": lambda: probed("pretrained", pretrained, pool, test, **embeds),
        "beside": lambda: beside("pretrained", pretrained, baselines, pool, test, embed),
        "auto": autos,  # both of its rows
        "scratch": lambda: [finetuned("from scratch", untrained, pool, test, fit)],
        "finetuned": lambda: [finetuned("pretrained", pretrained, pool, test, fit)],
        "zero-shot": lambda: zero_shot_rows("pretrained", pretrained, test, templates),
    }
    asked = {"auto" if name == "unlabelled" else name for name in wanted}
    return [row for name, make in makers.items() if name in asked for row in make()]


def _versions() -> dict[str, str]:
    """Of what makes predictions: another version may make others."""
    found = {}
    for name in COMPUTED_BY:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # ours, read from a checkout that is not installed
            found[name] = ""
    return found
