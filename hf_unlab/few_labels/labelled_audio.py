"""What audio fine-tuning starts from: a checkpoint of a speech encoder, and labelled clips decoded at its rate."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers import AutoConfig, AutoFeatureExtractor, FeatureExtractionMixin, PretrainedConfig

from hf_unlab.few_labels.settings import AudioFinetuneSettings
from hf_unlab.modalities.audio.reading import decode_audio
from hf_unlab.streams.bad_examples import BadExample, Example, good_examples
from hf_unlab.streams.sources import iterate, open_stream


def load_feature_extractor(checkpoint: str | Path) -> FeatureExtractionMixin:
    """A checkpoint's own.

    Raises:
        ValueError: There is no such checkpoint, or it has none.
    """
    try:
        return AutoFeatureExtractor.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{checkpoint} has no feature extractor: give a speech encoder's Hub id or path, which holds "
            f"preprocessor_config.json. ({reason})"
        ) from error


def load_encoder_config(checkpoint: str | Path) -> PretrainedConfig:
    """The architecture of a checkpoint that hears raw audio.

    Raises:
        ValueError: The encoder has no convolutions over raw audio, or an adapter behind it.
    """
    config = AutoConfig.from_pretrained(checkpoint)
    content = config.to_dict()
    if "conv_stride" not in content or content.get("add_adapter"):
        raise ValueError(
            f"{checkpoint} is a {config.model_type!r}, not an encoder of raw audio without an adapter; "
            "give one, such as wav2vec 2.0, HuBERT or WavLM."
        )
    return config


def refuse_overwriting(checkpoint: str | Path, output_dir: str | Path) -> None:
    """A pretrained checkpoint is not to be lost to what is fine-tuned from it.

    Raises:
        ValueError: The two are the same folder.

    Example:
        >>> refuse_overwriting("pretrained", "./pretrained")
        Traceback (most recent call last):
        ValueError: --output_dir is the pretrained checkpoint, pretrained; give another folder.
    """
    if Path(output_dir).resolve() == Path(checkpoint).resolve():
        raise ValueError(f"--output_dir is the pretrained checkpoint, {checkpoint}; give another folder.")


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
