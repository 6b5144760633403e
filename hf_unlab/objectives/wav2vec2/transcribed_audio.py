"""Transcribed audio: which, and its clips, decoded at the rate of a speech encoder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hf_unlab.evaluation.label_reading import read_rows, warn_of
from hf_unlab.modalities.audio.encoder import load_feature_extractor
from hf_unlab.modalities.audio.reading import decode_audio
from hf_unlab.streams.bad_examples import BadExample, Example, good_examples
from hf_unlab.streams.sources import BUILTIN_PREFIX, Source


@dataclass
class TranscribedAudioSettings:
    """Fine-tuning of a checkpoint on transcribed audio."""

    model: str = field(metadata={"help": "The pretrained checkpoint: a path or a Hub id."})
    dataset: str = field(
        default="builtin:formants",
        metadata={"help": "A Hub id, a builder (parquet, audiofolder), a local file or folder, or builtin:NAME."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    train_files: list[str] | None = field(default=None, metadata={"help": "Files that are trained on."})
    test_files: list[str] | None = field(default=None, metadata={"help": "Files that are tested on."})
    train_split: str | None = field(
        default=None, metadata={"help": "Split that is trained on; train, or a built-in corpus's own."}
    )
    test_split: str | None = field(
        default=None, metadata={"help": "Split that is tested on; test, or a built-in corpus's own."}
    )
    audio_column: str = field(default="audio", metadata={"help": "The column with the recording."})
    text_column: str = field(default="text", metadata={"help": "The column with the transcript."})
    max_pool: int = field(default=20_000, metadata={"help": "Clips that are drawn from: the first so many."})
    max_test: int = field(default=1000, metadata={"help": "Clips tested on, drawn at random."})
    max_train_minutes: float | None = field(
        default=None, metadata={"help": "Minutes of labelled audio, drawn at random by the seed; all by default."}
    )
    max_seconds: float | None = field(default=20.0, metadata={"help": "Longer training clips are left out."})
    lowercase: bool = field(default=False, metadata={"help": "Write transcripts in small letters."})
    freeze_feature_encoder: bool = field(
        default=True, metadata={"help": "Keep the pretrained convolutions as they are, as the paper does."}
    )
    mask_time_prob: float = field(
        default=0.05, metadata={"help": "Share of frames that SpecAugment hides, 0 for none."}
    )
    mask_time_length: int = field(
        default=10, metadata={"help": "Frames of a hidden span; clips under two spans are not masked."}
    )
    compare_from_scratch: bool = field(
        default=True, metadata={"help": "Train the same architecture from random weights, too."}
    )

    def sources(self) -> tuple[Source, Source]:
        """The data to train on and to test on, with the columns `audio` and `text`.

        Raises:
            ValueError: Training and test data are the same.

        Example:
            >>> train, test = TranscribedAudioSettings("OUT", dataset="my/speech", text_column="sentence").sources()
            >>> train.split, test.split, test.columns
            ('train', 'test', {'text': 'sentence'})
        """
        is_builtin = self.dataset.startswith(BUILTIN_PREFIX)
        splits = ("transcribed_train", "transcribed_test") if is_builtin else ("train", "test")
        if self.train_files or self.test_files:
            splits = ("train", "train")  # loose files have the one split "train"
        named = (("audio", self.audio_column), ("text", self.text_column))
        columns = {new: old for new, old in named if new != old}
        train, test = (
            Source(self.dataset, self.dataset_config, split=split, data_files=files, columns=columns)
            for split, files in (
                (self.train_split or splits[0], self.train_files),
                (self.test_split or splits[1], self.test_files),
            )
        )
        if train == test:
            raise ValueError(f"Training and test data are both {train.quoted}: give two splits, or files.")
        return train, test


def read_clips(settings: TranscribedAudioSettings, seed: int) -> tuple[list[Example], list[Example]]:
    """The clips to train on and to test on: `audio`, at the model's rate, and `text`.

    Clips that are broken, have no transcript or are too long to train on are left out with a warning.

    Args:
        settings: Which data, and how much of it.
        seed: Decides the order of the training data, and so which minutes are drawn.

    Raises:
        ValueError: The data cannot be read, nothing is left of it, or all test transcripts are blank.
    """
    rate_hz = load_feature_extractor(settings.model).sampling_rate
    sources, blanks = settings.sources(), (False, True)  # who hears words in silence is to be counted
    pools = [_transcribed(*each, settings.max_pool) for each in zip(sources, blanks, strict=True)]
    order, test_order = (np.random.default_rng(s).permutation(len(p)) for s, p in zip((seed, 0), pools, strict=True))
    decode = partial(_decode, rate_hz=rate_hz)
    fitting = good_examples((pools[0][i] for i in order), partial(decode, max_seconds=settings.max_seconds))
    train = list(draw_minutes((row for _, row in fitting), settings.max_train_minutes, rate_hz))
    test = [row for _, row in good_examples((pools[1][i] for i in test_order[: settings.max_test]), decode)]
    if not train or not test:
        raise ValueError(f"There are {len(train)} clips to train on and {len(test)} to test on: give some of each.")
    if not any(row["text"] for row in test):
        raise ValueError(f"The transcripts of {len(test)} test clips are all blank: test on some that say something.")
    return train, test


def draw_minutes(utterances: Iterable[Example], minutes: float | None, rate_hz: int) -> Iterator[Example]:
    """The first utterances that are no longer than so many minutes together, but at least one; None takes all.

    Example:
        >>> clips = [{"audio": np.zeros(20 * 100)}, {"audio": np.zeros(30 * 100)}, {"audio": np.zeros(50 * 100)}]
        >>> len(list(draw_minutes(clips, minutes=1.0, rate_hz=100)))
        2
    """
    num_samples = 0
    for number, row in enumerate(utterances):
        num_samples += len(row["audio"])
        if minutes is not None and number and num_samples > minutes * 60 * rate_hz:
            return
        yield row


def _transcribed(source: Source, keep_blanks: bool, num_clips: int) -> list[Example]:
    """The first clips, undecoded, each with its transcript; those without are left out."""
    found = read_rows(source, "audio", target="text", keep_blanks=keep_blanks, num_examples=num_clips)
    warn_of(found.remarks)
    return found.rows


def _decode(row: Example, *, rate_hz: int, max_seconds: float | None = None) -> Example:
    waveform = decode_audio(row["audio"], sampling_rate_hz=rate_hz)  # whole: a transcript would be of more
    if max_seconds and len(waveform) > max_seconds * rate_hz:
        raise BadExample(f"longer than {max_seconds:g} s")
    return {"audio": waveform, "text": row["text"]}
