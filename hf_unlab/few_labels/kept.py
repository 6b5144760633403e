"""Classifiers that are kept: fitted networks as their library saves them, beside those on a frozen encoder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from peft import PeftModel

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.adapters import no_old_names, save_adapter
from hf_unlab.few_labels.folders import copy_encoder, make_room, read_card, write_card
from hf_unlab.few_labels.frozen import FrozenClassifier, FrozenSettings, fit_frozen, refuse_one_class
from hf_unlab.few_labels.heads import name_classes
from hf_unlab.few_labels.kept_pairs import PairsClassifier, fit_kept_pairs
from hf_unlab.few_labels.networks import KINDS, Network, NetworkSettings, fit_network
from hf_unlab.few_labels.pairs import PAIRS_KINDS, PairsSettings
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import Encoder, Modality, TransformersEncoder
from hf_unlab.training.alone import alone_and_quiet


@dataclass
class NetworkClassifier:
    """A network fitted to labels, asked as `FrozenClassifier` is.

    Args:
        network: The library's own class, or an adapter on it.
        label_names: One a class.
        modality: Of the inputs.
        settings: How it was fitted.
        checkpoint: A Hub id, or the folder that the encoder was read from.
        encoder: Makes batches.
    """

    network: Network
    label_names: tuple[str, ...]
    modality: Modality
    settings: NetworkSettings
    checkpoint: str
    encoder: Encoder

    def probabilities(self, inputs: Sequence[Any], groups: Sequence[str] = ()) -> np.ndarray:
        """Of each class, (N, C); groups play no part in it."""
        return self.network.probabilities(inputs)

    def save(self, folder: str | Path, metrics: dict[str, Any] | None = None, **more: Any) -> None:
        """A folder that plain transformers loads, or of an adapter plain peft; classifier.json describes it.

        Args:
            folder: It may be there already.
            metrics: As in `FrozenClassifier.save`.
            **more: The same.
        """
        folder, module = Path(folder), self.network.module
        make_room(folder)
        if isinstance(module, PeftModel):
            save_adapter(module, self.encoder, folder, self.label_names)
            base = copy_encoder(self.checkpoint, folder)
        else:
            assert isinstance(self.encoder, TransformersEncoder)  # `fit_classifier` sees to it
            name_classes(module.config, self.label_names)
            module.save_pretrained(folder)
            self.encoder.processor.save_pretrained(folder)
            base = "."
        write_card(folder, self.label_names, self.modality, base, asdict(self.settings), metrics, **more)

    @classmethod
    def load(cls, folder: str | Path) -> "NetworkClassifier":
        """What `save` wrote.

        Raises:
            ValueError: There is no such classifier.
        """
        folder, card = Path(folder), read_card(folder)
        modality, settings = get_modality(card["modality"]), NetworkSettings(**card["settings"])
        checkpoint = str(folder / card["encoder"]) if (folder / card["encoder"]).is_dir() else card["encoder"]
        encoder = modality.load_encoder(checkpoint)
        if settings.is_adapter:
            with no_old_names():
                module = PeftModel.from_pretrained(encoder.classifier(len(card["labels"]), 0), str(folder))
        else:
            assert isinstance(encoder, TransformersEncoder)
            module = encoder.auto_class.from_pretrained(folder)
        network = Network(module.eval(), encoder, 0)
        return cls(network, tuple(card["labels"]), modality, settings, checkpoint, encoder)


Classifier: TypeAlias = FrozenClassifier | NetworkClassifier | PairsClassifier
Settings: TypeAlias = FrozenSettings | NetworkSettings | PairsSettings


def fit_classifier(
    checkpoint: str | Path,
    modality: Modality,
    labelled: LabelledData,
    unlabelled: Sequence[Any] = (),
    unlabelled_groups: Sequence[str] = (),
    settings: Settings | None = None,
    seed: int = 0,
) -> Classifier:
    """A classifier to keep, by any method.

    Args:
        checkpoint: As in `fit_frozen`.
        modality: As in `fit_frozen`.
        labelled: As in `fit_frozen`.
        unlabelled: As in `fit_frozen`; networks and pairs learn from labels alone.
        unlabelled_groups: As in `fit_frozen`.
        settings: Which method, and how.
        seed: Of a network.

    Raises:
        ValueError: As `fit_frozen`'s, `fit_network`'s and `fit_kept_pairs`', or no library has a class for such a
            network.
    """
    if settings is None or isinstance(settings, FrozenSettings):
        return fit_frozen(checkpoint, modality, labelled, unlabelled, unlabelled_groups, settings, seed)
    refuse_one_class(labelled)
    if isinstance(settings, PairsSettings):
        return fit_kept_pairs(checkpoint, modality, labelled, settings, seed)
    encoder = modality.load_encoder(checkpoint)
    if not settings.is_adapter and not isinstance(encoder, TransformersEncoder):
        raise ValueError(
            f"No library has a class for classifiers on {checkpoint}, so that nobody could load one with all weights "
            "fine-tuned: take the method auto, probe or lora."
        )
    with alone_and_quiet():
        network = fit_network(
            encoder, labelled.inputs, labelled.labels, len(labelled.label_names), seed, settings, head="library"
        )
    return NetworkClassifier(network, labelled.label_names, modality, settings, str(checkpoint), encoder)


def load_classifier(folder: str | Path) -> Classifier:
    """Whatever classifier a folder holds.

    Raises:
        ValueError: It holds none.

    Example:
        >>> load_classifier("out/classifier").probabilities(["a fine film"]).round(2)  # doctest: +SKIP
        array([[0.12, 0.88]])
    """
    kind = read_card(folder)["settings"].get("kind")
    if kind is None:
        return FrozenClassifier.load(folder)
    return PairsClassifier.load(folder) if kind in PAIRS_KINDS else NetworkClassifier.load(folder)


def settings_of(method: str, second_use: str, network: str = "small") -> Settings:
    """From the words of a command line.

    Args:
        method: One of `FrozenMethod`, of `KINDS` or of `PAIRS_KINDS`.
        second_use: One of `SecondUse`, or "none".
        network: One of `NetworkUse`.

    Raises:
        ValueError: A word is unknown.

    Example:
        >>> settings_of("lora", "both").kind, settings_of("probe", "none").second_use
        ('lora', None)
    """
    if method in KINDS:
        return NetworkSettings(method)
    if method in PAIRS_KINDS:
        return PairsSettings(method)
    second = None if second_use == "none" else second_use
    return FrozenSettings(method, second, network)  # type: ignore[arg-type]
