"""What is particular to a modality here: how an example is read, and views of it in which the same is shown.

A view is a function from an input, as the decode here makes it, and a generator to an input of the encoder.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.running import without_weights
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.streams.bad_examples import Decode, Example

View = Callable[[Any, np.random.Generator], Any]


@dataclass(frozen=True)
class Kind:
    """What is particular to a modality.

    Args:
        make_decode: From the settings, the modality, the encoder, and raw training examples that statistics may be
            taken of (read only if they are iterated over), to what makes a raw example an input.
        make_view: From the settings and the encoder to a picklable view.
        make_sample: Makes an input, which tells how many features a model has.
    """

    make_decode: Callable[[ClusterTrainingArguments, Modality, Encoder, Iterable[Example]], Decode | None]
    make_view: Callable[[ClusterTrainingArguments, Encoder], View]
    make_sample: Callable[[], Any]


def _image_decode(args: ClusterTrainingArguments, modality: Modality, encoder: Encoder, first: Any) -> Decode | None:
    return modality.make_decode(modality.few_label_settings().unlimited(), encoder)


@dataclass(frozen=True)
class _Augmented:
    """What changes inputs, with its settings: the modules of Pillow and scipy are imported where they are needed."""

    augment: Callable[[Any, Any, np.random.Generator], Any]
    settings: Any

    def __call__(self, one: Any, rng: np.random.Generator) -> Any:
        return self.augment(one, self.settings, rng)


def _image_view(args: ClusterTrainingArguments, encoder: Encoder) -> View:
    from hf_unlab.modalities.image.augmentations import ImageAugmentation, augment  # Pillow is of an extra

    settings = ImageAugmentation(args.least_crop_area, flip_probability=args.flip_probability, jitter=args.jitter)
    return _Augmented(augment, settings)


def _sample_image() -> Any:
    from PIL import Image

    return Image.new("RGB", (64, 64), "white")


def _audio_decode(args: ClusterTrainingArguments, modality: Modality, encoder: Encoder, first: Any) -> Decode | None:
    from hf_unlab.modalities.audio.encoder import MelEncoder  # soundfile is of an extra
    from hf_unlab.objectives.clusters.frames import frames_decode

    settings: Any = modality.few_label_settings()
    settings = replace(settings, few_label_max_seconds=args.max_seconds)
    decode = modality.make_decode(settings, without_weights(encoder))
    if isinstance(encoder, MelEncoder):
        assert decode is not None
        return frames_decode(args, decode, modality.column, encoder, first)
    if args.normalise is not None:
        raise ValueError(
            f"normalise is {args.normalise!r}: of log-mel frames alone, and the model reads waveforms; leave it out."
        )
    return decode


def _audio_view(args: ClusterTrainingArguments, encoder: Encoder) -> View:
    from hf_unlab.modalities.audio.encoder import MelEncoder
    from hf_unlab.modalities.audio.waveform_augmentations import WaveformAugmentation, augment
    from hf_unlab.objectives.clusters.frames import frames_view

    if isinstance(encoder, MelEncoder):
        return frames_view(args)
    return _Augmented(augment, WaveformAugmentation(args.least_crop_time, args.level_db, args.least_snr_db))


KINDS = {
    "image": Kind(_image_decode, _image_view, _sample_image),
    "audio": Kind(_audio_decode, _audio_view, lambda: np.sin(np.arange(4000, dtype=np.float32))),
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
