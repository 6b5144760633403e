"""The labelled clips of audio fine-tuning, decoded at the rate of a speech encoder."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from hf_unlab.evaluation.label_reading import read_rows, warn_of
from hf_unlab.evaluation.label_values import check_classes
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.modalities.audio.encoder import load_feature_extractor
from hf_unlab.modalities.audio.reading import decode_audio
from hf_unlab.objectives.wav2vec2.finetuning_settings import AudioFinetuneSettings
from hf_unlab.streams.bad_examples import BadExample, Example, good_examples
from hf_unlab.streams.sources import Source


def read_clips(settings: AudioFinetuneSettings, seed: int) -> tuple[list[Example], list[Example]]:
    """The labelled audio to train on and to test on: `audio`, at the model's rate, and `text` or, of a class, `label`.

    Clips that are broken, have no label or transcript or are too long to train on are left out with a warning.

    Args:
        settings: Which data, and how much of it.
        seed: Decides the order of the training data, and so which minutes are drawn.

    Raises:
        ValueError: The data cannot be read, nothing is left of it, all test transcripts are blank, a class is in the
            test data alone, or there is but one.
    """
    rate_hz = load_feature_extractor(settings.model).sampling_rate
    column = "text" if settings.task == "ctc" else "label"
    sources, blanks = settings.sources(), (False, column == "text")  # who hears words in silence is to be counted
    pools = [_labelled_clips(*each, column, settings.max_pool) for each in zip(sources, blanks, strict=True)]
    if column == "label":
        check_classes(*({row["label"] for row in pool} for pool in pools))
    order, test_order = (np.random.default_rng(s).permutation(len(p)) for s, p in zip((seed, 0), pools, strict=True))
    decode = partial(_decode, column=column, rate_hz=rate_hz, max_seconds=settings.max_seconds)
    train_rows = good_examples((pools[0][i] for i in order), decode)
    train = list(draw_minutes((row for _, row in train_rows), settings.max_train_minutes, rate_hz))
    test_rows = (pools[1][i] for i in test_order[: settings.max_test])
    test = [row for _, row in good_examples(test_rows, partial(decode, is_test=True))]
    if not train or not test:
        raise ValueError(f"There are {len(train)} clips to train on and {len(test)} to test on: give some of each.")
    if not any(row[column] for row in test):
        raise ValueError(f"The transcripts of {len(test)} test clips are all blank: test on some that say something.")
    if column == "label":  # again: a class may have had broken clips alone
        check_classes(*({row["label"] for row in rows} for rows in (train, test)))
    return train, test


def as_labelled(train: Sequence[Example], test: Sequence[Example]) -> tuple[LabelledData, LabelledData]:
    """Clips and the names of their classes as labelled data, under the names of the training data.

    Example:
        >>> train, test = as_labelled([{"audio": 0, "label": "yes"}, {"audio": 0, "label": "no"}], [])
        >>> train.labels.tolist(), test.label_names
        ([1, 0], ('no', 'yes'))
    """
    names = tuple(sorted({row["label"] for row in train}))
    first, second = (
        LabelledData(
            [row["audio"] for row in rows], np.array([names.index(row["label"]) for row in rows], dtype=int), names
        )
        for rows in (train, test)
    )
    return first, second


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


def _labelled_clips(source: Source, keep_blanks: bool, column: str, num_clips: int) -> list[Example]:
    """The first clips, undecoded, each with its label or transcript; those without are left out."""
    found = read_rows(source, "audio", target=column, keep_blanks=keep_blanks, num_examples=num_clips)
    warn_of(found.remarks)
    return found.rows


def _decode(row: Example, *, column: str, rate_hz: int, max_seconds: float | None, is_test: bool = False) -> Example:
    is_cut = column == "label"  # a transcript would be of more than is heard
    waveform = decode_audio(row["audio"], sampling_rate_hz=rate_hz, max_seconds=max_seconds if is_cut else None)
    if not is_cut and not is_test and max_seconds and len(waveform) > max_seconds * rate_hz:
        raise BadExample(f"longer than {max_seconds:g} s")
    return {"audio": waveform, column: row[column]}
