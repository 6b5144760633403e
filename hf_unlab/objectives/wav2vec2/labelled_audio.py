"""The labelled clips of audio fine-tuning, decoded at the rate of a speech encoder."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import datasets
import numpy as np

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.modalities.audio.encoder import load_feature_extractor
from hf_unlab.modalities.audio.reading import decode_audio
from hf_unlab.objectives.wav2vec2.finetuning_settings import AudioFinetuneSettings
from hf_unlab.streams.bad_examples import BadExample, Example, good_examples
from hf_unlab.streams.sources import iterate, open_stream


def read_clips(settings: AudioFinetuneSettings, seed: int) -> tuple[list[Example], list[Example]]:
    """The labelled audio to train on and to test on: `audio`, at the model's rate, and `text` or, of a class, `label`.

    Clips that are broken, have no label or are too long to train on are left out with a warning.

    Args:
        settings: Which data, and how much of it.
        seed: Decides the order of the training data, and so which minutes are drawn.

    Raises:
        ValueError: The data cannot be read, nothing is left of it, or a class is in the test data alone.
    """
    rate_hz = load_feature_extractor(settings.model).sampling_rate
    column = "text" if settings.task == "ctc" else "label"
    streams = [open_stream(source, ["audio", column]) for source in settings.sources()]
    names = [stream.features[column] if stream.features else None for stream in streams]
    pools = [list(iterate(stream.select_columns(["audio", column]).take(settings.max_pool))) for stream in streams]
    order, test_order = (np.random.default_rng(s).permutation(len(p)) for s, p in zip((seed, 0), pools, strict=True))
    decode = partial(_decode, column=column, rate_hz=rate_hz, max_seconds=settings.max_seconds)
    train_rows = good_examples((pools[0][i] for i in order), partial(decode, feature=names[0]))
    train = list(draw_minutes((row for _, row in train_rows), settings.max_train_minutes, rate_hz))
    test_rows = (pools[1][i] for i in test_order[: settings.max_test])
    test = [row for _, row in good_examples(test_rows, partial(decode, feature=names[1], is_test=True))]
    if not train or not test:
        raise ValueError(f"There are {len(train)} clips to train on and {len(test)} to test on: give some of each.")
    if column == "label" and (unseen := sorted({row["label"] for row in test} - {row["label"] for row in train})):
        raise ValueError(f"The test data has labels that the training data lacks: {', '.join(unseen[:5])}.")
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


def _decode(
    row: Example, *, column: str, feature: Any, rate_hz: int, max_seconds: float | None, is_test: bool = False
) -> Example:
    label = row[column]
    if label is None or not (is_test or str(label).strip()):
        raise BadExample(f"no {column}")
    if isinstance(feature, datasets.ClassLabel):
        label = feature.int2str(label)
    is_cut = column == "label"  # a transcript would be of more than is heard
    waveform = decode_audio(row["audio"], sampling_rate_hz=rate_hz, max_seconds=max_seconds if is_cut else None)
    if not is_cut and not is_test and max_seconds and len(waveform) > max_seconds * rate_hz:
        raise BadExample(f"longer than {max_seconds:g} s")
    return {"audio": waveform, column: str(label)}
