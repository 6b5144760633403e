"""The rows of the few-label table that choose by the labels at hand how to read them."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.beside import Parts, embedding, normalised_by_group
from hf_unlab.few_labels.blending import Blend
from hf_unlab.few_labels.draws import Candidate
from hf_unlab.few_labels.frozen import FrozenSettings
from hf_unlab.few_labels.pool import PoolOfViews
from hf_unlab.few_labels.tuned import beside, fit_tuned, said_of
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
    auto = _Auto(encoder, baselines, pool, test, settings, unlabelled, embed, embed_by_group)
    rows = [Candidate(name, AUTO, partial(auto.predict, None))]
    if settings.second_use:
        rows.append(Candidate(name, AUTO_TWICE, partial(auto.predict, settings.second_use)))
    return rows


class _Auto:
    """What both rows share: views that are fitted once, and of each draw what the first row has made."""

    def __init__(
        self,
        encoder: Encoder,
        baselines: Sequence[Baseline],
        pool: LabelledData,
        test: LabelledData,
        settings: FrozenSettings,
        unlabelled: Sequence[Any],
        embed: Callable[[Encoder], Parts] | None,
        embed_by_group: Callable[[Encoder], Parts] | None,
    ) -> None:
        self.encoder, self.baselines, self.pool, self.test, self.settings = encoder, baselines, pool, test, settings
        self.more = () if pool.groups else unlabelled
        self._embed, self._embed_by_group = embed or embedding(pool, test), embed_by_group
        self._blends: dict[bytes, Blend] = {}
        self._said: dict[tuple[bytes, int], Parts] = {}

    def predict(self, second_use: SecondUse | None, indices: np.ndarray, seed: int) -> np.ndarray:
        """Probabilities of the test, (num_test, C), from the labels at some indices."""
        (pool, of_test), labels_M, draw = self._views, self.pool.labels[indices], indices.tobytes()
        if draw not in self._blends:
            self._blends[draw] = pool.fit(indices, labels_M, len(self.pool.label_names))
        blend = pool.learn_again(self._blends[draw], indices, labels_M, second_use)
        found_NC = blend.probabilities(of_test)
        if not (self.settings.has_network(self.encoder) and pool.can_weigh(indices, labels_M)):
            return found_NC
        if (draw, seed) not in self._said:
            self._said[draw, seed] = self._network_says(indices, seed)
        said_UC, said_NC = self._said[draw, seed]
        return beside(found_NC, said_NC, pool.share_of(said_UC, blend, indices, labels_M))

    def _network_says(self, indices: np.ndarray, seed: int) -> Parts:
        """Of those of the pool that are asked, and of the test; the network itself is let go."""
        of_pool, of_test = self._read
        num_classes, labels_M = len(self.pool.label_names), self.pool.labels[indices]
        network = fit_tuned(self.encoder, [of_pool[int(i)] for i in indices], labels_M, num_classes, seed)
        others = [of_pool[int(i)] for i in self._views[0].asked(indices)]
        return said_of(network, others, num_classes), network.probabilities(of_test)

    @cached_property
    def _embed_groups(self) -> Callable[[Encoder], Parts]:
        return self._embed_by_group or embedding(*normalised_by_group(self.encoder, self.pool, self.test))

    @cached_property
    def _read(self) -> Parts:
        """Pool and test as a network reads them."""
        of_pool, of_test = normalised_by_group(self.encoder, self.pool, self.test)
        return [*of_pool.inputs, *self.more], of_test.inputs

    def _features(self, inputs: Sequence[Any], groups: Sequence[str]) -> np.ndarray:
        is_by_group = len(groups) and self.encoder.normalises_by_group
        pool_ND, test_ND = (self._embed_groups if is_by_group else self._embed)(self.encoder)
        if inputs is self.test.inputs:
            return np.asarray(test_ND)
        more = self.more
        return np.concatenate([pool_ND, features_of(self.encoder, more)]) if len(more) else np.asarray(pool_ND)

    @cached_property
    def _views(self) -> tuple[PoolOfViews, list[Any]]:
        pool, test = self.pool, self.test
        chosen = self.settings.chosen(views_of(self.encoder, self.baselines, bool(pool.groups), self._features))
        fitted = PoolOfViews(chosen, [*pool.inputs, *self.more], pool.groups)
        return fitted, [view.features(test.inputs, test.groups) for view in chosen]
