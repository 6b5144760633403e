"""What objectives on clips of sound share: which clips are read, batches of like length cut by seconds, decoding."""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from hf_unlab.modalities.audio.reading import decode_example, measure_example
from hf_unlab.streams.bad_examples import Decode
from hf_unlab.streams.bucketing import Buckets
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.trainer import PretrainingTrainer


@dataclass
class ClipTrainingArguments(PretrainingArguments):
    """How long clips are, and how many seconds go into a batch.

    Of PretrainingArguments' own `per_device_train_batch_size` has another default.
    """

    min_seconds: float = field(
        default=0.0,
        metadata={
            "help": "Shorter clips are skipped as bad examples; a clip needs a hidden span in any case.",
            "fixed": True,
        },
    )
    max_seconds: float = field(
        default=15.6, metadata={"help": "Of longer clips a part is taken, each time another one.", "fixed": True}
    )
    max_batch_seconds: float = field(
        default=87.5, metadata={"help": "Seconds of a process's micro-batch, padding included.", "fixed": True}
    )
    bucket_num_batches: int = field(
        default=16, metadata={"help": "Batches' worth of clips that are sorted by length together.", "fixed": True}
    )
    per_device_train_batch_size: int = field(default=256, metadata={"help": "The most clips in a micro-batch."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.min_seconds < self.max_seconds <= self.max_batch_seconds:
            raise ValueError(
                "Clips need 0 <= min_seconds < max_seconds <= max_batch_seconds, not "
                f"{self.min_seconds}, {self.max_seconds} and {self.max_batch_seconds}."
            )
        self.check_counts("bucket_num_batches")

    def check_counts(self, *names: str) -> None:
        """Refuse counts below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")

    def check_shares(self, *names: str) -> None:
        """Refuse shares that are none."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}.")


class ClipTrainer(PretrainingTrainer):
    """A trainer whose examples are clips of an `audio` column; see `read_clips` for what it has to be told."""

    raw_columns: ClassVar[tuple[str, ...]] = ("audio",)
    file_columns: ClassVar[tuple[str, ...]] = ("audio",)
    input_unit = "audio_seconds"
    args: ClipTrainingArguments

    def read_clips(self, args: ClipTrainingArguments, sampling_rate_hz: int, num_samples: float, span: str) -> None:
        """Say which clips are read, before any is.

        Args:
            args: Of the run.
            sampling_rate_hz: What the model hears.
            num_samples: Of the shortest clip in which a span can be hidden.
            span: What such a span is called.

        Raises:
            ValueError: It is longer than the longest clip.
        """
        self._sampling_rate_hz = sampling_rate_hz
        self._min_seconds = max(args.min_seconds, num_samples / sampling_rate_hz)
        if self._min_seconds > args.max_seconds:
            raise ValueError(
                f"A hidden span of {span} takes {self._min_seconds:.3g} seconds, more than "
                f"max_seconds={args.max_seconds}."
            )

    def make_buckets(self) -> Buckets:
        """By seconds."""
        args = self.args
        measure = functools.partial(measure_example, min_seconds=self._min_seconds, max_seconds=args.max_seconds)
        most_clips = args.per_device_train_batch_size
        return Buckets(measure, "seconds", args.max_batch_seconds, most_clips, args.bucket_num_batches)

    def make_decode(self) -> Decode:
        """To a waveform of the model's rate, or a bad example."""
        return functools.partial(
            decode_example,
            sampling_rate_hz=self._sampling_rate_hz,
            min_seconds=self._min_seconds,
            max_seconds=self.args.max_seconds,
        )


def refuse_layerdrop(args: PretrainingArguments, config: Any) -> None:
    """Refuse layers that are left out by chance where processes wait for them.

    Raises:
        ValueError: With what to set in its place.
    """
    if args.world_size > 1 and args.gradient_checkpointing and config.layerdrop:
        raise ValueError(
            "Under gradient checkpointing DDP waits for the layers that layerdrop leaves out on one process and "
            "not on another: set layerdrop=0 in the model's configuration, or gradient_checkpointing=False."
        )


def refuse_showing_all(encoder: nn.Module, config: Any, noun: str) -> None:
    """Refuse a speech encoder of transformers that hides nothing in training.

    Args:
        encoder: The bare encoder.
        config: Of the model.
        noun: What it would hide, in the plural.

    Raises:
        ValueError: With what to set.
    """
    if not config.apply_spec_augment or not hasattr(encoder, "masked_spec_embed"):
        raise ValueError(
            f"The model hides no {noun}: pretraining needs apply_spec_augment=True and mask_time_prob above 0 in "
            "its configuration."
        )
