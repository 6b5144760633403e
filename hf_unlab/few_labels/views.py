"""Views: the kinds of features that a few labels may be read by, an encoder's and cheap ones, none fitted on labels.

In the names: N examples, D features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import issparse

from hf_unlab.evaluation.features import features_of, standardised_by_group
from hf_unlab.evaluation.probes import DEFAULT_C, UNIT_NORM_C, Scaling, checked
from hf_unlab.modalities.modality import Baseline, Encoder

CHEAP_PRIOR = 0.5
BESIDE_GROUP_PRIOR = 0.05  # of what is not normalised by group where groups are known: the voice is the loudest in it
MOST_FEATURES = 512
# From inputs, and groups where inputs are to be normalised within them, to an encoder's features.
Embed: TypeAlias = Callable[[Sequence[Any], Sequence[str]], np.ndarray]


@dataclass
class View(ABC):
    """One kind of features, and how a logistic regression reads them.

    Args:
        name: What it is of.
        inverse_regularisation: scikit-learn's C.
        prior: What the view weighs in a blend as long as nothing is known of it.
    """

    name: str
    inverse_regularisation: float
    prior: float
    _scaling: Scaling | None = field(default=None, init=False, repr=False)
    _axes_DK: np.ndarray | None = field(default=None, init=False, repr=False)

    @abstractmethod
    def raw(self, inputs: Sequence[Any], groups: Sequence[str], is_fit: bool) -> Any:
        """Features (N, D) as they come, dense or sparse; where it `is_fit`, what makes them is fitted first."""

    @property
    @abstractmethod
    def is_standardised(self) -> bool:
        """Whether features are brought to mean 0 and variance 1."""

    @property
    @abstractmethod
    def is_by_group(self) -> bool:
        """Whether features are brought to mean 0 and variance 1 within each group."""

    def fit(self, inputs: Sequence[Any], groups: Sequence[str] = ()) -> Any:
        """Learn from inputs without labels how features are made and scaled.

        Args:
            inputs: N of them.
            groups: What each belongs to, such as a speaker, if that is known.

        Returns:
            Their features.
        """
        raw_ND = checked(self.name, "known", self.raw(inputs, groups, True))
        self._scaling = Scaling.fitted(raw_ND) if self.is_standardised else None
        self._axes_DK = None
        if not issparse(raw_ND) and raw_ND.shape[1] > MOST_FEATURES:
            self._axes_DK = _principal_axes(self._scaled(raw_ND))
        return self._read(raw_ND)

    def features(self, inputs: Sequence[Any], groups: Sequence[str] = ()) -> Any:
        """Of other inputs; a group is normalised by what of it is among them."""
        return self._read(checked(self.name, "asked", self.raw(inputs, groups, False)))

    def _scaled(self, raw_ND: Any) -> Any:
        return raw_ND if self._scaling is None else self._scaling.apply(raw_ND).astype(np.float32)

    def _read(self, raw_ND: Any) -> Any:
        scaled_ND = self._scaled(raw_ND)
        return scaled_ND if self._axes_DK is None else scaled_ND @ self._axes_DK


def _principal_axes(features_ND: np.ndarray) -> np.ndarray:
    """(D, K): without its small directions a probe is the same, and fitted in a fraction of the time."""
    rows_MD = features_ND[np.random.default_rng(0).permutation(len(features_ND))[: 4 * MOST_FEATURES]]
    _, _, axes_MD = np.linalg.svd(rows_MD, full_matrices=False)
    return np.ascontiguousarray(axes_MD[:MOST_FEATURES].T)


@dataclass
class Embedding:
    """An encoder's features of inputs, those of the last inputs remembered: several views ask for the same.

    Args:
        encoder: From `Modality.load_encoder`.
    """

    encoder: Encoder
    _last: tuple[Sequence[Any], np.ndarray] | None = field(default=None, init=False, repr=False)

    def __call__(self, inputs: Sequence[Any], groups: Sequence[str] = ()) -> np.ndarray:
        """(N, D)."""
        if len(groups) and self.encoder.normalises_by_group:
            return features_of(self.encoder, self.encoder.by_group(inputs, groups))
        if self._last is None or self._last[0] is not inputs:
            self._last = inputs, features_of(self.encoder, inputs)
        return self._last[1]


@dataclass
class EncoderView(View):
    """What an encoder makes of its inputs, perhaps brought to mean 0 and variance 1 within each group."""

    embed: Embed | None  # None: it is saved without
    has_unit_norm: bool = False
    is_by_group: bool = False

    def raw(self, inputs: Sequence[Any], groups: Sequence[str], is_fit: bool) -> np.ndarray:
        """As in `View`."""
        assert self.embed is not None
        if not self.is_by_group:
            return self.embed(inputs, ())
        return standardised_by_group(self.embed(inputs, groups), groups)

    @property
    def is_standardised(self) -> bool:
        """Features of norm 1 have no scale to be rid of, and their directions are what was learnt."""
        return self.is_by_group or not self.has_unit_norm


@dataclass
class CheapView(View):
    """A baseline of the modality."""

    baseline: Baseline
    _transformer: Any = field(default=None, init=False, repr=False)

    def raw(self, inputs: Sequence[Any], groups: Sequence[str], is_fit: bool) -> Any:
        """As in `View`."""
        if self.baseline.is_by_group:
            transformer = self.baseline.make_transformer()
            transformer.set_params(kw_args={**transformer.kw_args, "groups": list(groups)})
            return standardised_by_group(transformer.fit_transform(list(inputs)), groups)
        if is_fit:
            self._transformer = self.baseline.make_transformer().fit(list(inputs))
        return self._transformer.transform(list(inputs))

    @property
    def is_standardised(self) -> bool:
        """As the baseline says."""
        return self.baseline.standardised

    @property
    def is_by_group(self) -> bool:
        """As the baseline says."""
        return self.baseline.is_by_group


def views_of(
    encoder: Encoder, baselines: Sequence[Baseline], has_groups: bool, embed: Embed | None = None
) -> list[View]:
    """The views of an encoder's inputs: its own features first, then the baselines'.

    Args:
        encoder: From `Modality.load_encoder`.
        baselines: The modality's.
        has_groups: Whether groups are known of all inputs.
        embed: Gives the encoder's features of inputs, where they are known; by default an `Embedding`.

    Example:
        >>> [view.name for view in views_of(encoder, modality.make_baselines(encoder, ()), False)]  # doctest: +SKIP
        ['encoder', 'TF-IDF']
    """
    embed = embed or Embedding(encoder)
    own_c = UNIT_NORM_C if encoder.has_unit_norm else DEFAULT_C
    plain = BESIDE_GROUP_PRIOR if has_groups else 1.0
    views: list[View] = [EncoderView("encoder", own_c, plain, embed, encoder.has_unit_norm)]
    if has_groups:
        views.append(EncoderView("encoder, normalised by group", DEFAULT_C, 1.0, embed, is_by_group=True))
    for baseline in baselines:
        if has_groups or not baseline.is_by_group:
            prior = CHEAP_PRIOR * (1.0 if baseline.is_by_group else plain)
            views.append(CheapView(baseline.name, baseline.inverse_regularisation, prior, baseline))
    return views
