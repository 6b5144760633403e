"""Recordings as normalised log-mel frames, for encoders that read those: views of them are changed frames.

In the names: T frames, M mel bands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hf_unlab.modalities.audio.augmentations import AugmentationSettings, augment
from hf_unlab.modalities.audio.encoder import MelEncoder
from hf_unlab.modalities.audio.mel import FrameStatistics, MelFrontEnd, normalise_frames
from hf_unlab.modalities.audio.mel_models import NORMALISATION_KEY, normalisation_of
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.streams.bad_examples import Decode, Example, good_examples

_GROUP = "group"


@dataclass(frozen=True)
class FramesDecode:
    """A decode of waveforms that makes log-mel frames of them, normalised by clip, by group or not at all.

    Args:
        decode: To waveforms.
        front_end: Makes the frames.
        column: With the recording.
        normalise: As in `normalise_frames`; of a clip whose group has no statistics.
        group_column: With the group, if frames are normalised by it.
        statistics: Of each group, by its name.
    """

    decode: Decode
    front_end: MelFrontEnd
    column: str
    normalise: str = "clip"
    group_column: str | None = None
    statistics: Mapping[str, FrameStatistics] = field(default_factory=dict)

    def __call__(self, example: Example) -> Example:
        """The example, with frames (T, M) in place of the recording."""
        decoded = self.decode(example)
        frames_TM = self.front_end.frames(decoded[self.column])
        known = self.statistics.get(str(example[self.group_column])) if self.group_column else None
        return {**decoded, self.column: normalise_frames(frames_TM, self.normalise, known)}


def frames_decode(
    args: ClusterTrainingArguments, decode: Decode, column: str, encoder: MelEncoder, first: Iterable[Example]
) -> FramesDecode:
    """That of a run.

    Args:
        args: How frames are normalised; by default as the model was pretrained.
        decode: To waveforms.
        column: With the recording.
        encoder: Of frames.
        first: Raw training examples that the statistics of groups are of; not read where there are none.

    Raises:
        ValueError: Frames are to be normalised by group, and no column with the group is named.
    """
    told, before = args.normalise, encoder.config.to_dict().get(NORMALISATION_KEY)
    by_group = told == _GROUP or (told is None and before == _GROUP and args.group_column is not None)
    if by_group and args.group_column is None:
        raise ValueError("normalise is 'group': give --group_column, the column of the raw data with it.")
    if told is not None:
        setattr(encoder.config, NORMALISATION_KEY, told)
    named = (decode, encoder.front_end, column, normalisation_of(encoder.config))
    if not by_group:
        return FramesDecode(*named)
    assert args.group_column is not None
    frames: dict[str, list[np.ndarray]] = {}
    for raw, example in good_examples(first, decode):
        frames.setdefault(str(raw[args.group_column]), []).append(encoder.front_end.frames(example[column]))
    return FramesDecode(*named, args.group_column, {name: FrameStatistics.of(some) for name, some in frames.items()})


@dataclass(frozen=True)
class FramesView:
    """Changes frames as another voice, microphone or take would.

    Args:
        settings: How much.

    Example:
        >>> FramesView(AugmentationSettings(crop=0.5))(np.zeros((100, 4)), np.random.default_rng(0)).shape[1]
        4
    """

    settings: AugmentationSettings

    def __call__(self, frames_TM: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A view, (T', M)."""
        return augment(frames_TM, self.settings, rng)


def frames_view(args: ClusterTrainingArguments) -> FramesView:
    """That of a run."""
    return FramesView(
        AugmentationSettings(
            crop=1 - args.least_crop_time,
            stretch=args.stretch,
            warp=args.warp,
            equaliser=args.equaliser,
            noise=args.noise,
            band_mask=args.band_mask,
            time_mask=args.time_mask,
        )
    )
