"""What is particular to a modality here: how much of an example is read, and views of it in which the same is shown.

A view is a function from an input, as the modality's `decode` makes it, and a generator to an input of the encoder.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments

View = Callable[[Any, np.random.Generator], Any]


@dataclass(frozen=True)
class Kind:
    """What is particular to a modality.

    Args:
        make_view: From the settings and the encoder to a picklable view.
        limit: From the settings and the modality's few-label settings to those by which an example is read.
        make_sample: Makes an input, which tells how many features a model has.
    """

    make_view: Callable[[ClusterTrainingArguments, Encoder], View]
    limit: Callable[[ClusterTrainingArguments, Any], FewLabelSettings]
    make_sample: Callable[[], Any]


def _image_view(args: ClusterTrainingArguments, encoder: Encoder) -> View:
    from hf_unlab.modalities.image.augmentations import ImageAugmentation  # Pillow is of an extra

    settings = ImageAugmentation(args.least_crop_area, flip_probability=args.flip_probability, jitter=args.jitter)
    return partial(_augmented_image, settings=settings)


def _augmented_image(image: Any, rng: np.random.Generator, *, settings: Any) -> Any:
    from hf_unlab.modalities.image.augmentations import augment

    return augment(image, settings, rng)


def _sample_image() -> Any:
    from PIL import Image

    return Image.new("RGB", (64, 64), "white")


def _audio_view(args: ClusterTrainingArguments, encoder: Encoder) -> View:
    from hf_unlab.modalities.audio.waveform_augmentations import WaveformAugmentation

    settings = WaveformAugmentation(args.least_crop_time, args.level_db, args.least_snr_db)
    return partial(_augmented_waveform, settings=settings)


def _augmented_waveform(waveform_S: np.ndarray, rng: np.random.Generator, *, settings: Any) -> np.ndarray:
    from hf_unlab.modalities.audio.waveform_augmentations import augment

    return augment(waveform_S, settings, rng)


KINDS = {
    "image": Kind(_image_view, lambda args, settings: settings.unlimited(), _sample_image),
    "audio": Kind(
        _audio_view,
        lambda args, settings: replace(settings, few_label_max_seconds=args.max_seconds),
        lambda: np.sin(np.arange(4000, dtype=np.float32)),
    ),
}


def kind_of(modality: Modality) -> Kind:
    """What is known of a modality.

    Raises:
        ValueError: Nothing is.

    Example:
        >>> from hf_unlab.modalities import get_modality
        >>> kind_of(get_modality("text"))
        Traceback (most recent call last):
        ValueError: texts cannot be learnt by clusters yet: it is not said what a view of one is. There are: image, ...
    """
    if modality.name not in KINDS:
        raise ValueError(
            f"{modality.noun} cannot be learnt by clusters yet: it is not said what a view of one is. There are: "
            f"{', '.join(KINDS)}."
        )
    return KINDS[modality.name]
