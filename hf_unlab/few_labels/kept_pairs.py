"""Classifiers fitted by pairs that are kept: an encoder or an adapter that libraries load, and scikit-learn's head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from huggingface_hub import snapshot_download
from peft import PeftModel

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.adapters import no_old_names, save_adapter
from hf_unlab.few_labels.folders import ENCODER_NAME, HEAD_NAME, copy_encoder, make_room, read_card, write_card
from hf_unlab.few_labels.pairs import Paired, PairsSettings, fit_pairs
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import Encoder, Modality, TransformersEncoder

# Those of before the fit, whatever the library.
_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.xml", "*.pt", "*.pth")


@dataclass
class PairsClassifier:
    """A fitted encoder with its head, asked as `FrozenClassifier` is.

    Args:
        network: As `fit_pairs` made it.
        label_names: One a class.
        modality: Of the inputs.
        settings: How it was fitted.
        checkpoint: A Hub id, or the folder that the encoder was read from.
    """

    network: Paired
    label_names: tuple[str, ...]
    modality: Modality
    settings: PairsSettings
    checkpoint: str

    @property
    def encoder(self) -> Encoder:
        """The fitted one."""
        return self.network.encoder

    def probabilities(self, inputs: Sequence[Any], groups: Sequence[str] = ()) -> np.ndarray:
        """Of each class, (N, C); groups play no part in it."""
        return self.network.probabilities(inputs)

    def save(self, folder: str | Path, metrics: dict[str, Any] | None = None, **more: Any) -> None:
        """A folder with the head (head.joblib, of scikit-learn), a description, and the encoder.

        The folder `encoder` within is an ordinary checkpoint: of all weights trained the fitted one, which plain
        transformers loads, and sentence-transformers where it loaded the one before; else the one before as it was.
        An adapter lies beside it, at the top.

        Args:
            folder: It may be there already.
            metrics: As in `FrozenClassifier.save`.
            **more: The same.
        """
        folder, adapter = Path(folder), self.network.adapter
        make_room(folder)
        if self.settings.kind == "pairs":
            assert isinstance(self.encoder, TransformersEncoder)  # `fit_kept_pairs` sees to it
            base, copied = ENCODER_NAME, _copy_without_weights(self.checkpoint, folder)
            self.encoder.model.save_pretrained(copied)
            self.encoder.processor.save_pretrained(copied)
        else:
            base = copy_encoder(self.checkpoint, folder)
        if adapter is not None:
            save_adapter(adapter, self.encoder, folder, has_head=False)
        joblib.dump(self.network.head, folder / HEAD_NAME)
        write_card(folder, self.label_names, self.modality, base, asdict(self.settings), metrics, **more)

    @classmethod
    def load(cls, folder: str | Path) -> "PairsClassifier":
        """What `save` wrote. The head is a pickle: load only what you trust.

        Raises:
            ValueError: There is no such classifier.
        """
        folder, card = Path(folder), read_card(folder)
        modality, settings = get_modality(card["modality"]), PairsSettings(**card["settings"])
        checkpoint = str(folder / ENCODER_NAME) if card["encoder"] == ENCODER_NAME else card["encoder"]
        encoder, adapter = modality.load_encoder(checkpoint), None
        if settings.kind == "pairs-lora":
            with no_old_names():
                adapter = PeftModel.from_pretrained(encoder.model, str(folder)).eval()
        network = Paired(encoder, joblib.load(folder / HEAD_NAME), len(card["labels"]), adapter)
        return cls(network, tuple(card["labels"]), modality, settings, checkpoint)


def fit_kept_pairs(
    checkpoint: str | Path, modality: Modality, labelled: LabelledData, settings: PairsSettings, seed: int = 0
) -> PairsClassifier:
    """`fit_pairs`, to keep.

    Args:
        checkpoint: As in `fit_frozen`.
        modality: As in `fit_frozen`.
        labelled: As in `fit_frozen`.
        settings: Which kind, and how.
        seed: As in `fit_pairs`.

    Raises:
        ValueError: As `fit_pairs`', or no library could load the encoder with all weights fine-tuned.

    Example:
        >>> classifier = fit_kept_pairs("out", get_modality("text"), labelled, PairsSettings())  # doctest: +SKIP
        >>> classifier.save("out/classifier")  # doctest: +SKIP
        >>> SentenceTransformer("out/classifier/encoder").encode("a fine film")  # doctest: +SKIP
    """
    encoder = modality.load_encoder(checkpoint)
    if settings.kind == "pairs" and not isinstance(encoder, TransformersEncoder):
        raise ValueError(
            f"{checkpoint} is no model of transformers, so that all its weights fine-tuned would have no format to be "
            "kept in: take the method pairs-lora, centroid, auto or probe."
        )
    names = labelled.label_names
    network = fit_pairs(encoder, labelled.inputs, labelled.labels, len(names), seed, settings)
    return PairsClassifier(network, names, modality, settings, str(checkpoint))


def _copy_without_weights(checkpoint: str, folder: Path) -> Path:
    """What stands beside a checkpoint's weights, such as sentence-transformers' modules.json and what it names."""
    if not Path(checkpoint).is_dir():
        checkpoint = snapshot_download(checkpoint, ignore_patterns=list(_WEIGHTS))
    copied = folder / copy_encoder(checkpoint, folder)
    for path in [each for pattern in _WEIGHTS for each in copied.rglob(pattern)]:
        path.unlink()
    return copied
