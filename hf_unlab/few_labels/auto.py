"""The rows of the few-label table that choose by the labels at hand how to read them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.beside import Parts, embedding, normalised_by_group
from hf_unlab.few_labels.blending import Blend
from hf_unlab.few_labels.draws import Candidate
from hf_unlab.few_labels.frozen import FrozenSettings, PoolOfViews
from hf_unlab.few_labels.unlabelled import SecondUse
from hf_unlab.few_labels.views import views_of
from hf_unlab.modalities.modality import Baseline, Encoder

AUTO, AUTO_TWICE = "auto", "auto, unlabelled used again"


def auto_rows(
    name: str,
    encoder: Encoder,
    baselines: Sequence[Baseline],
    pool: LabelledData,
    test: LabelledData,
    settings: FrozenSettings | None = None,
    unlabelled: Sequence[Any] = (),
    embed: Callable[[Encoder], Parts] | None = None,
    embed_by_group: Callable[[Encoder], Parts] | None = None,
) -> list[Candidate]:
    """A blend of all views of the examples, from the labels alone, and with what of the pool has no label.

    Args:
        name: First column of the table.
        encoder: As in `methods.probed`.
        baselines: The modality's.
        pool: What draws are made from.
        test: What is scored.
        settings: How labels are used; of `second_use` None the second row is left out.
        unlabelled: Further inputs for the second row, beside those of the pool whose label is not drawn; where there
            are groups, of which none is known of these, they are left out.
        embed: As in `beside`.
        embed_by_group: As in `methods.probed`.

    Example:
        >>> [row.method for row in auto_rows("pretrained", encoder, baselines, pool, test)]  # doctest: +SKIP
        ['auto', 'auto, unlabelled used again']
    """
    settings = settings or FrozenSettings()
    embed, num_classes = embed or embedding(pool, test), len(pool.label_names)
    more = () if pool.groups else unlabelled
    blends: dict[bytes, Blend] = {}  # of the labels alone, by the draw: the second row begins where the first one ends

    @cache
    def embed_groups() -> Callable[[Encoder], Parts]:
        return embed_by_group or embedding(*normalised_by_group(encoder, pool, test))

    def own(inputs: Sequence[Any], groups: Sequence[str]) -> np.ndarray:
        is_by_group = len(groups) and encoder.normalises_by_group
        pool_ND, test_ND = embed_groups()(encoder) if is_by_group else embed(encoder)
        if inputs is test.inputs:
            return test_ND
        return np.concatenate([pool_ND, features_of(encoder, more)]) if len(more) else pool_ND

    @cache
    def views() -> tuple[PoolOfViews, list[Any]]:
        chosen = settings.chosen(views_of(encoder, baselines, bool(pool.groups), own))
        fitted = PoolOfViews(chosen, [*pool.inputs, *more], pool.groups)
        return fitted, [view.features(test.inputs, test.groups) for view in chosen]

    def predicting(second_use: SecondUse | None) -> Callable[[np.ndarray, int], np.ndarray]:
        def predict(indices: np.ndarray, seed: int) -> np.ndarray:
            fitted, of_test = views()
            labels_M, draw = pool.labels[indices], indices.tobytes()
            if draw not in blends:
                blends[draw] = fitted.fit(indices, labels_M, num_classes)
            return fitted.learn_again(blends[draw], indices, labels_M, second_use).probabilities(of_test)

        return predict

    rows = [Candidate(name, AUTO, predicting(None))]
    return [*rows, Candidate(name, AUTO_TWICE, predicting(settings.second_use))] if settings.second_use else rows
