"""A classifier on a frozen encoder: a blend of probes on its features and on cheap ones; fitted, saved, asked."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import joblib  # type: ignore[import-untyped]
import numpy as np

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.blending import Blend
from hf_unlab.few_labels.folders import (
    ENCODER_NAME,
    FILE_NAME,
    NETWORK_NAME,
    copy_encoder,
    make_room,
    read_card,
    write_card,
)
from hf_unlab.few_labels.pool import PoolOfViews
from hf_unlab.few_labels.tuned import NetworkUse, Tuned, as_read, beside, fit_tuned, is_used, said_of
from hf_unlab.few_labels.unlabelled import SecondUse
from hf_unlab.few_labels.views import Embed, Embedding, EncoderView, View, views_of
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import Encoder, Modality

FrozenMethod: TypeAlias = Literal["auto", "probe", "cheap"]
MOST_UNLABELLED = 20_000
FINE_TUNED = "fine-tuned"


@dataclass(frozen=True)
class FrozenSettings:
    """How labels are used.

    Args:
        method: "auto": a blend of all views; "probe": the encoder's features alone (normalised by group where groups
            are known); "cheap": the baselines alone.
        second_use: What is done with unlabelled examples: "spreading" of labels over neighbours, "self-training", or
            "both", one behind the other; None: they serve the scales of features alone.
        network: Whether "auto" fits all weights to the labels, too, and asks both: "small", where that takes seconds
            and was worth them, "always" or "never"; see `is_used`.

    Raises:
        ValueError: A name is unknown.
    """

    method: FrozenMethod = "auto"
    second_use: SecondUse | None = "both"
    network: NetworkUse = "small"

    def __post_init__(self) -> None:
        for what, given, known in (
            ("method", self.method, get_args(FrozenMethod)),
            ("second_use", self.second_use, (None, *get_args(SecondUse))),
            ("network", self.network, get_args(NetworkUse)),
        ):
            if given not in known:
                raise ValueError(f"{what} is {given!r}; it is one of {', '.join(map(str, known))}.")

    def chosen(self, views: Sequence[View]) -> list[View]:
        """Those of the views that the method reads."""
        own: list[View] = [view for view in views if isinstance(view, EncoderView)]
        if self.method == "probe":
            return own[-1:]
        return [view for view in views if view not in own] if self.method == "cheap" else list(views)

    def has_network(self, encoder: Encoder) -> bool:
        """Whether a network is fitted beside them."""
        return self.method == "auto" and is_used(self.network, encoder)


@dataclass
class FrozenClassifier:
    """Answers questions about inputs of one modality.

    Args:
        views: Fitted.
        blend: Fitted on their features.
        label_names: One a class.
        modality: Of the inputs.
        settings: How it was made.
        checkpoint: A Hub id, or the folder that the encoder was read from.
        encoder: Of the checkpoint.
        tuned: A network that is asked, too.
    """

    views: tuple[View, ...]
    blend: Blend
    label_names: tuple[str, ...]
    modality: Modality
    settings: FrozenSettings
    checkpoint: str
    encoder: Encoder
    tuned: Tuned | None = None

    def probabilities(self, inputs: Sequence[Any], groups: Sequence[str] = ()) -> np.ndarray:
        """Of each class, (N, C).

        Args:
            inputs: As the modality decodes them.
            groups: What each belongs to, if labels came with groups: each group is normalised by what of it is here.

        Raises:
            ValueError: Groups are needed, or there are not as many as inputs.
        """
        self.check_groups(bool(len(groups)))
        if len(groups) not in (0, len(inputs)):
            raise ValueError(f"There are {len(groups)} groups for {len(inputs)} inputs; give one an input.")
        found_NC = self.blend.probabilities([view.features(inputs, groups) for view in self.views])
        if self.tuned is None:
            return found_NC
        read = as_read(self.encoder, inputs, groups)
        return beside(found_NC, self.tuned.network.probabilities(read), self.tuned.share)

    def check_groups(self, has_groups: bool) -> None:
        """Refuse to answer without groups where they are needed.

        Raises:
            ValueError: They are, and none are known.
        """
        if not has_groups and any(view.is_by_group for view in self.views):
            raise ValueError(
                "This classifier normalises by group, as its labels came with groups, and none are given: name their "
                "column (--group_column)."
            )

    def save(self, folder: str | Path, metrics: dict[str, Any] | None = None, **more: Any) -> None:
        """Write a folder that needs nothing else: the fitted parts, a description, and the encoder as it was.

        Args:
            folder: It may be there already.
            metrics: What is known of its quality, by name; it stands in classifier.json.
            **more: What else is to stand there.
        """
        folder = Path(folder)
        make_room(folder)
        encoder = copy_encoder(self.checkpoint, folder)
        more["views"] = self._shares()
        write_card(folder, self.label_names, self.modality, encoder, asdict(self.settings), metrics, **more)
        bare = [_with_embedding(view, None) for view in self.views]
        share = None if self.tuned is None else self.tuned.share
        joblib.dump({"views": bare, "blend": self.blend, "share": share}, folder / FILE_NAME, compress=3)
        if self.tuned is not None:
            self.tuned.save(folder / NETWORK_NAME)

    def _shares(self) -> dict[str, float]:
        """How much of the say each view has, and the network."""
        weights_V = self.blend.weights_V[: len(self.views)]  # those behind them are the same again
        rest = 1.0 if self.tuned is None else 1 - self.tuned.share
        said = zip(self.views, rest * weights_V / weights_V.sum(), strict=True)
        shares = {view.name: round(float(weight), 4) for view, weight in said}
        return shares if self.tuned is None else {**shares, FINE_TUNED: round(self.tuned.share, 4)}

    @classmethod
    def load(cls, folder: str | Path) -> "FrozenClassifier":
        """What `save` wrote. The file is a pickle: load only what you trust.

        Raises:
            ValueError: There is no such classifier.
        """
        folder, card = Path(folder), read_card(folder)
        modality = get_modality(card["modality"])
        checkpoint = str(folder / ENCODER_NAME) if card["encoder"] == ENCODER_NAME else card["encoder"]
        content = joblib.load(folder / FILE_NAME)
        encoder = modality.load_encoder(checkpoint)
        embed = Embedding(encoder)
        views = tuple(_with_embedding(view, embed) for view in content["views"])
        settings, share = FrozenSettings(**card["settings"]), content.get("share")
        tuned = None if share is None else Tuned.load(folder / NETWORK_NAME, encoder, share)
        return cls(views, content["blend"], tuple(card["labels"]), modality, settings, checkpoint, encoder, tuned)


def fit_frozen(
    checkpoint: str | Path,
    modality: Modality,
    labelled: LabelledData,
    unlabelled: Sequence[Any] = (),
    unlabelled_groups: Sequence[str] = (),
    settings: FrozenSettings | None = None,
    seed: int = 0,
) -> FrozenClassifier:
    """A classifier from a few labels, and unlabelled examples if there are some.

    Args:
        checkpoint: Of the encoder: a folder or a Hub id.
        modality: Of the encoder.
        labelled: What is learnt from, all of it.
        unlabelled: Further inputs; of more than `MOST_UNLABELLED` the first. Never what is to be tested on.
        unlabelled_groups: What each belongs to, where labels come with groups.
        settings: How labels are used.
        seed: Of a network.

    Raises:
        ValueError: There are no labels, or of one class only; groups are missing.

    Example:
        >>> classifier = fit_frozen("out", get_modality("text"), labelled, texts)  # doctest: +SKIP
        >>> classifier.probabilities(["a fine film"]).round(2)  # doctest: +SKIP
        array([[0.12, 0.88]])
    """
    settings = settings or FrozenSettings()
    refuse_one_class(labelled)
    unlabelled = list(unlabelled[:MOST_UNLABELLED])
    has_groups = bool(labelled.groups)
    groups = (*labelled.groups, *unlabelled_groups[:MOST_UNLABELLED]) if has_groups else ()
    if has_groups and len(groups) != len(labelled) + len(unlabelled):
        raise ValueError(
            "Labels come with groups and the unlabelled examples do not: name groups of both, or of none."
        )
    encoder = modality.load_encoder(checkpoint)
    views = settings.chosen(views_of(encoder, modality.make_baselines(encoder, groups), has_groups))
    inputs, known, labels_M = [*labelled.inputs, *unlabelled], np.arange(len(labelled)), labelled.labels
    pool, num_classes = PoolOfViews(views, inputs, groups), len(labelled.label_names)
    blend = pool.learn_again(pool.fit(known, labels_M, num_classes), known, labels_M, settings.second_use)
    tuned = None
    if settings.has_network(encoder) and pool.can_weigh(known, labels_M):
        read = as_read(encoder, inputs, groups)
        network = fit_tuned(encoder, read[: len(known)], labels_M, num_classes, seed)
        said_UC = said_of(network, [read[int(i)] for i in pool.asked(known)], num_classes)
        tuned = Tuned(network, pool.share_of(said_UC, blend, known, labels_M))
    of = labelled.label_names, modality, settings, str(checkpoint), encoder
    return FrozenClassifier(pool.views, blend, *of, tuned)


def refuse_one_class(labelled: LabelledData) -> None:
    """Two classes are the least that anything can be learnt of.

    Raises:
        ValueError: There are fewer.
    """
    classes = np.unique(labelled.labels)
    if len(classes) < 2:
        have = (
            f"all {len(labelled)} labels are {labelled.label_names[classes[0]]!r}"
            if len(classes)
            else "there is no label"
        )
        raise ValueError(f"There is nothing to tell apart: {have}. Give labels of two classes at least.")


def _with_embedding(view: View, embed: Embed | None) -> View:
    """A view that embeds by another encoder, or by none as it is saved; cheap ones as they are."""
    if not isinstance(view, EncoderView):
        return view
    other = copy.copy(view)
    other.embed = embed
    return other
