"""How labels are used: rows of the few-label table, for any encoder and any baseline."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from hf_unlab.evaluation.features import baseline_features, features_of, standardised_by_group
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.probes import DEFAULT_C, UNIT_NORM_C, linear_probe
from hf_unlab.evaluation.side_by_side import to_norm_1
from hf_unlab.few_labels.beside import embedding, normalised_by_group
from hf_unlab.few_labels.draws import Candidate
from hf_unlab.few_labels.heads import centroids, said
from hf_unlab.few_labels.networks import NetworkSettings, fit_network
from hf_unlab.few_labels.pairs import PairsSettings, fit_pairs
from hf_unlab.modalities.modality import Baseline, Encoder

METHOD_NAMES = {
    "full": "fine-tuned",
    "lp-ft": "fine-tuned from the probe",
    "lora": "LoRA",
    "dora": "DoRA",
    "ia3": "(IA)3",
    "pairs": "fine-tuned on pairs",
    "pairs-lora": "LoRA on pairs",
    "centroid": "nearest centroid",
}


def cheap(baseline: Baseline, pool: LabelledData, test: LabelledData) -> Candidate:
    """A baseline's features, read by logistic regression.

    Args:
        baseline: One of the modality's.
        pool: What draws are made from.
        test: What is scored.

    Raises:
        ValueError: There are no features of these inputs.

    Example:
        >>> from hf_unlab.modalities.text.baseline import TF_IDF
        >>> pool = LabelledData(["good film", "bad film"], np.array([1, 0]), ("bad", "good"))
        >>> candidate = cheap(TF_IDF, pool, LabelledData(["so bad", "good!"], np.array([0, 1]), pool.label_names))
        >>> candidate.predict(np.array([0, 1]), 0).tolist()
        [0, 1]
    """
    pool_ND, test_ND = baseline_features(baseline, pool.inputs, test.inputs)
    if baseline.is_by_group and pool.groups:
        pool_ND, test_ND = by_group(pool_ND, test_ND, pool, test)
    probe = linear_probe(
        baseline.name,
        pool_ND,
        pool.labels,
        test_ND,
        standardised=baseline.standardised,
        inverse_regularisation=baseline.inverse_regularisation,
    )
    return Candidate(baseline.name, "logistic regression", lambda indices, seed: probe(indices))


def probed(
    name: str,
    encoder: Encoder,
    pool: LabelledData,
    test: LabelledData,
    *,
    is_random: bool = False,
    embed: Callable[[Encoder], tuple[Any, Any]] | None = None,
    embed_by_group: Callable[[Encoder], tuple[Any, Any]] | None = None,
) -> list[Candidate]:
    """Linear probes on the frozen encoder: on its features, and where there are groups on them normalised by group.

    Args:
        name: First column of the table.
        encoder: What is probed.
        pool: As in `cheap`.
        test: As in `cheap`.
        is_random: The encoder has random weights: they are drawn anew from the seed of each draw, as one random
            network says little of others.
        embed: As in `beside`.
        embed_by_group: The same of inputs `normalised_by_group`, where the encoder was pretrained on such ones.
    """
    embed = embed or embedding(pool, test)
    embedded: dict[tuple[int, bool], tuple[np.ndarray, np.ndarray]] = {}
    probes: dict[tuple[int, bool], Any] = {}

    @cache
    def embed_groups() -> Callable[[Encoder], tuple[Any, Any]]:
        return embed_by_group or embedding(*normalised_by_group(encoder, pool, test))

    def features(seed: int, is_by_group: bool) -> tuple[np.ndarray, np.ndarray]:
        is_by_group = is_by_group and encoder.normalises_by_group
        if (seed, is_by_group) not in embedded:
            if any(other != seed for other, _ in embedded):
                embedded.clear()  # the one before is not asked for again
                probes.clear()
            one = encoder.fresh(seed) if is_random else encoder
            embedded[seed, is_by_group] = embed_groups()(one) if is_by_group else embed(one)
        return embedded[seed, is_by_group]

    def predict(is_by_group: bool, indices: np.ndarray, seed: int) -> np.ndarray:
        seed = seed if is_random else 0
        if (seed, is_by_group) not in probes:
            pool_ND, test_ND = features(seed, is_by_group)
            if is_by_group:
                pool_ND, test_ND = by_group(pool_ND, test_ND, pool, test)
            # features of norm 1 have no scale to be rid of, and their directions are what was learnt
            probes[seed, is_by_group] = linear_probe(
                name,
                pool_ND,
                pool.labels,
                test_ND,
                standardised=not encoder.has_unit_norm,
                inverse_regularisation=UNIT_NORM_C if encoder.has_unit_norm else DEFAULT_C,
            )
        return probes[seed, is_by_group](indices)

    plain = Candidate(name, "linear probe", partial(predict, False))
    grouped = Candidate(name, "linear probe, normalised by group", partial(predict, True))
    return [plain, grouped] if pool.groups else [plain]


def embedded(name: str, pool_ND: np.ndarray, pool_labels: np.ndarray, test_ND: np.ndarray) -> Candidate:
    """A linear probe on features that are there, such as those of a file.

    Args:
        name: First column of the table.
        pool_ND: What draws are made from.
        pool_labels: Class indices, (N,).
        test_ND: What is scored.

    Example:
        >>> candidate = embedded("toy", np.eye(2), np.array([0, 1]), np.eye(2))
        >>> candidate.predict(np.array([0, 1]), 0).tolist()
        [0, 1]
    """
    probe = linear_probe(name, pool_ND, pool_labels, test_ND)
    return Candidate(name, "linear probe", lambda indices, seed: probe(indices))


def by_group(
    pool_ND: np.ndarray, test_ND: np.ndarray, pool: LabelledData, test: LabelledData
) -> tuple[np.ndarray, np.ndarray]:
    """Features of pool and test, standardised within each group as one: see `standardised_by_group`."""
    both_ND = standardised_by_group(np.concatenate([pool_ND, test_ND]), (*pool.groups, *test.groups))
    return both_ND[: len(pool_ND)], both_ND[len(pool_ND) :]


def finetuned(
    name: str, encoder: Encoder, pool: LabelledData, test: LabelledData, settings: NetworkSettings | None = None
) -> Candidate:
    """A network fitted to each draw, with a head that reads what the linear probe reads: see `fit_network`.

    Nothing is chosen on the test set: a fit ends when its training loss is down.

    Args:
        name: First column of the table.
        encoder: Makes a fresh classifier for each draw, from the draw's seed.
        pool: As in `cheap`.
        test: As in `cheap`.
        settings: How it is fitted. Small convolutional networks want high
            rates: one of 3 layers from scratch on `builtin:digits` scored .840 / .933 at 5 / 50 labels a class with
            2e-3, .773 / .910 with 5e-4.

    Example:
        >>> candidate = finetuned("pretrained", encoder, pool, test)  # doctest: +SKIP
        >>> candidate.predict(sample_few_labels(pool.labels, 5, seed=0), 0)  # doctest: +SKIP
    """
    settings = settings or NetworkSettings()
    parts = cache(lambda: normalised_by_group(encoder, pool, test))

    def predict(indices: np.ndarray, seed: int) -> np.ndarray:
        pool_inputs, test_inputs = (part.inputs for part in parts())
        inputs = [pool_inputs[int(i)] for i in indices]
        network = fit_network(encoder, inputs, pool.labels[indices], len(pool.label_names), seed, settings)
        return network.probabilities(test_inputs)

    return Candidate(name, METHOD_NAMES[settings.kind], predict)


def on_pairs(
    name: str,
    encoder: Encoder,
    pool: LabelledData,
    test: LabelledData,
    settings: PairsSettings | None = None,
    embed: Callable[[Encoder], tuple[Any, Any]] | None = None,
) -> Candidate:
    """An encoder brought to each draw's classes by pairs of its examples, and a head on it: see `fit_pairs`.

    Args:
        name: First column of the table.
        encoder: As in `finetuned`.
        pool: As in `cheap`.
        test: As in `cheap`.
        settings: How it is fitted.
        embed: As in `probed`; for "centroid", which leaves the encoder as it is.

    Example:
        >>> on_pairs("pretrained", encoder, pool, test, PairsSettings("centroid")).method  # doctest: +SKIP
        'nearest centroid'
    """
    settings = settings or PairsSettings()
    parts = cache(lambda: normalised_by_group(encoder, pool, test))

    frozen = cache(lambda: [to_norm_1(part_ND) for part_ND in (embed or embedding(*parts()))(encoder)])

    def predict(indices: np.ndarray, seed: int) -> np.ndarray:
        if settings.kind == "centroid":
            pool_ND, test_ND = frozen()
            return said(centroids(pool_ND[indices], pool.labels[indices]), test_ND, len(pool.label_names))
        pool_inputs, test_inputs = (part.inputs for part in parts())
        inputs = [pool_inputs[int(i)] for i in indices]
        paired = fit_pairs(encoder, inputs, pool.labels[indices], len(pool.label_names), seed, settings)
        return paired.probabilities(test_inputs)

    return Candidate(name, METHOD_NAMES[settings.kind], predict)


def zero_shot(name: str, test_ND: np.ndarray, class_CD: torch.Tensor) -> Candidate:
    """The class whose text is most similar; it uses no label, so every column of the table shows the same.

    Args:
        name: First column of the table.
        test_ND: Unit-norm features of the test examples.
        class_CD: Unit-norm features of the classes, in the order of the label names.

    Example:
        >>> zero_shot("toy", np.eye(3), torch.eye(3)).predict(np.array([]), 0).tolist()
        [0, 1, 2]
    """
    predictions_N = (torch.as_tensor(test_ND).float() @ class_CD.float().cpu().T).argmax(1).numpy()
    return Candidate(name, "zero-shot", lambda indices, seed: predictions_N)


def zero_shot_rows(name: str, encoder: Encoder, test: LabelledData, templates: Sequence[str]) -> list[Candidate]:
    """`zero_shot`, from an encoder that can tell a class by its name; no row from another.

    Args:
        name: First column of the table.
        encoder: As in `probed`.
        test: As in `cheap`.
        templates: As in `Encoder.class_features`.
    """
    if not encoder.reads_names:
        return []
    class_CD = encoder.class_features(test.label_names, templates)
    return [zero_shot(name, features_of(encoder, test.inputs, "projection"), class_CD)]


def refuse_not_positive(name: str, **settings: Any) -> None:
    """Counts and rates must be above 0, where they are given.

    Raises:
        ValueError: One is not.

    Example:
        >>> refuse_not_positive("pretrained", num_steps=None, batch_size=0)
        Traceback (most recent call last):
        ValueError: pretrained: batch_size is 0; it must be above 0.
    """
    for what, given in settings.items():
        if given is not None and given <= 0:
            raise ValueError(f"{name}: {what} is {given}; it must be above 0.")
