"""All examples that may be learnt from, as the views of `auto` show them.

In the names: N examples of which M have a label, C classes, U others.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from hf_unlab.few_labels.blending import Blend, fit_blend, folds_of
from hf_unlab.few_labels.coherence import LEAST_UNLABELLED, MOST_EXAMPLES, SHARPNESS, coherences
from hf_unlab.few_labels.unlabelled import SecondUse, agreement, learn_again, neighbour_graph, spread_labels
from hf_unlab.few_labels.views import View

# Of 6,000 unlabelled reviews nothing more was learnt than of 1,000, and it takes as many times as long.
MOST_GUESSED = 2_000
SHARE = 0.5  # of the say a network's where there are labels enough for folds, and nothing without to ask


class PoolOfViews:
    """All examples that may be learnt from, with or without a label, as the views show them: fitted once.

    Args:
        views: As the settings choose them; they are fitted here.
        inputs: N of them.
        groups: What each belongs to, where that is known.
    """

    def __init__(self, views: Sequence[View], inputs: Sequence[Any], groups: Sequence[str]) -> None:
        self.views = tuple(views)
        self.features = [view.fit(inputs, groups) for view in views]
        self._cs = [view.inverse_regularisation for view in views]

    def fit(self, labelled_M: np.ndarray, labels_M: np.ndarray, num_classes: int) -> Blend:
        """Learn from the labels of some of the examples.

        Args:
            labelled_M: Which have a label.
            labels_M: Theirs.
            num_classes: C.
        """
        own, priors = [part[labelled_M] for part in self.features], np.array([view.prior for view in self.views])
        if len(priors) > 1 and not folds_of(labels_M):
            found = coherences(self.features, labelled_M, labels_M, num_classes, self._cs)
            if found is not None:
                priors = priors * np.exp(SHARPNESS * (found - found.max()))
        return fit_blend(own, labels_M, num_classes, self._cs, priors)

    def learn_again(
        self, blend: Blend, labelled_M: np.ndarray, labels_M: np.ndarray, second_use: SecondUse | None
    ) -> Blend:
        """Learn from the others, or from `MOST_GUESSED` of them that are drawn at random.

        Args:
            blend: As `fit` made it of these labels.
            labelled_M: Which have a label.
            labels_M: Theirs.
            second_use: What is done with the others; None: nothing.
        """
        if second_use is None or len(np.unique(labels_M)) < 2:
            return blend
        rows = self._with_others(labelled_M, MOST_GUESSED)
        features = [part[rows] for part in self.features]
        graph = self._graph(features) if second_use != "self-training" else None
        return learn_again(blend, features, np.arange(len(labelled_M)), labels_M, self._cs, second_use, graph)

    def asked(self, labelled_M: np.ndarray) -> np.ndarray:
        """Examples without label that `share_of` asks, as indices; none where there are too few to tell anything."""
        others = self._with_others(labelled_M, MOST_EXAMPLES)[len(labelled_M) :]
        return others if len(others) >= LEAST_UNLABELLED else others[:0]

    def can_weigh(self, labelled_M: np.ndarray, labels_M: np.ndarray) -> bool:
        """Whether anything is known of what a network is worth: with one label a class and nothing else it is not."""
        return bool(len(self.asked(labelled_M)) or folds_of(labels_M))

    def share_of(self, said_UC: np.ndarray, blend: Blend, labelled_M: np.ndarray, labels_M: np.ndarray) -> float:
        """How much of the say a network has beside a blend, from 0 to 1.

        Of the two the one says more that agrees more with labels spread over neighbours, as in `coherences`. Folds
        would take several fits, and tell nothing where a class has one label.

        Args:
            said_UC: What the network says of those `asked`.
            blend: As `fit` or `learn_again` made it.
            labelled_M: Which have a label.
            labels_M: Theirs.
        """
        if not len(said_UC):
            return SHARE
        num_labels, rows = len(labelled_M), np.concatenate([labelled_M, self.asked(labelled_M)])
        features = [part[rows] for part in self.features]
        graph = self._graph(features)
        assert graph is not None  # `auto` has a view of the encoder
        spread_UC = spread_labels(graph, np.arange(num_labels), labels_M, blend.num_classes)[num_labels:]
        both = said_UC, blend.probabilities([part[num_labels:] for part in features])
        own, theirs = (agreement(one_UC, spread_UC, len(np.unique(labels_M))) for one_UC in both)
        return float(1 / (1 + np.exp(SHARPNESS * (theirs - own))))

    def _with_others(self, labelled_M: np.ndarray, most: int) -> np.ndarray:
        """Those with a label, then others that are drawn at random, the same each time."""
        order = np.random.default_rng(0).permutation(self.features[0].shape[0])
        return np.concatenate([labelled_M, order[~np.isin(order, labelled_M)][:most]])

    def _graph(self, features: Sequence[Any]) -> csr_matrix | None:
        """Who is near whom: among recordings the nearest are of the same voice, unless that is taken out."""
        by_group = [part for view, part in zip(self.views, features, strict=True) if view.is_by_group]
        return neighbour_graph(by_group or features)
