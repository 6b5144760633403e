"""Recordings."""

from functools import partial
from typing import Any

from hf_unlab.modalities.audio.baseline import log_mel_baselines
from hf_unlab.modalities.audio.encoder import AudioEncoder, live_encoder, load_encoder
from hf_unlab.modalities.audio.perturbations import PERTURBATIONS
from hf_unlab.modalities.audio.reading import decode_example
from hf_unlab.modalities.audio.settings import AudioDataSettings, AudioFewLabelSettings
from hf_unlab.modalities.modality import Modality
from hf_unlab.streams.bad_examples import Decode


def _make_decode(settings: AudioFewLabelSettings, encoder: AudioEncoder) -> Decode:
    seconds: dict[str, Any] = {"min_seconds": 0.0, "max_seconds": settings.few_label_max_seconds}
    return partial(decode_example, sampling_rate_hz=encoder.sampling_rate_hz, **seconds)


MODALITY = Modality(
    name="audio",
    noun="recordings",
    column="audio",
    raw_columns=("audio",),
    check=None,  # decoding tells
    load_encoder=load_encoder,
    live_encoder=live_encoder,
    make_decode=_make_decode,
    make_baselines=lambda encoder, groups: log_mel_baselines(encoder.sampling_rate_hz, groups),
    data_settings=AudioDataSettings,
    few_label_settings=AudioFewLabelSettings,
    file_columns=("audio",),
    perturbations=PERTURBATIONS,
)
