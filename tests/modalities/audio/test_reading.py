"""Every form and format of audio becomes a mono waveform at the rate asked for; what is broken, a short reason."""

import functools
import pickle

import numpy as np
import pytest
import soundfile
from transformers import Wav2Vec2FeatureExtractor

from hf_unlab.modalities.audio import reading as audio
from hf_unlab.modalities.audio.reading import (
    decode_audio,
    decode_example,
    header_seconds,
    measure_example,
    normalise,
    read_audio,
)
from tests.modalities.audio.helpers import RATE, WAV, encoded, patched, reason_of, speechlike, tone

LOSSY = {"OGG VORBIS", "OGG OPUS", "MP3", "WAV ULAW", "WAV ALAW", "WAV IMA_ADPCM", "WAV MS_ADPCM", "WAV GSM610"}
LOSSLESS = {
    *("WAV PCM_U8", "WAV PCM_16", "WAV PCM_24", "WAV PCM_32", "WAV FLOAT", "WAV DOUBLE", "WAVEX PCM_16"),
    *("WAVEX PCM_24", "WAVEX FLOAT", "RF64 PCM_16", "W64 PCM_16", "FLAC PCM_S8", "FLAC PCM_16", "FLAC PCM_24"),
    *("AIFF PCM_16", "AIFF PCM_24", "AIFF FLOAT", "AU PCM_16", "CAF PCM_16", "CAF ALAC_16"),
}
FORMATS = sorted(LOSSY | LOSSLESS)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_tone_back(form):
    data = encoded(tone(), form)
    # ADPCM and GSM come in whole blocks, filled up with zeros
    padding = 0.35 if "ADPCM" in form or "GSM" in form else 1 / RATE
    assert 1 - 1 / RATE <= header_seconds(data) <= 1 + padding
    waveform = decode_audio(data)
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert RATE - 1 <= len(waveform) <= (1 + padding) * RATE
    inner = slice(RATE // 4, 3 * RATE // 4)
    tolerance = 0.08 if form in LOSSY else 0.01 if form.endswith(("U8", "S8")) else 1e-4
    np.testing.assert_allclose(waveform[inner], tone()[inner], atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("wanted", [8_000, 16_000])
def test_resampling_keeps_frequency_amplitude_and_length(rate, wanted):
    waveform = decode_audio(encoded(tone(1.234, rate), rate=rate), sampling_rate_hz=wanted)
    assert abs(len(waveform) - round(1.234 * wanted)) <= 1
    inner = slice(wanted // 4, wanted)
    np.testing.assert_allclose(waveform[inner], tone(1.234, wanted)[inner], atol=2e-3)


@pytest.mark.parametrize("form", ["WAV PCM_16", "WAVEX PCM_24", "FLAC PCM_16", "AIFF PCM_16"])
@pytest.mark.parametrize("num_channels", [1, 2, 6, 8])
def test_mono_is_the_mean_of_the_channels(form, num_channels):
    channels = tone()[:, None] * np.linspace(0, 1, num_channels + 1)[1:]
    np.testing.assert_allclose(decode_audio(encoded(channels, form)), channels.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("form", ["WAV PCM_16", "FLAC PCM_16", "OGG VORBIS", "OGG OPUS", "MP3", "WAV GSM610"])
@pytest.mark.parametrize("position", [0.0, 0.37, 1.0])
def test_a_part_is_the_slice_of_the_whole(form, position):
    data = encoded(speechlike(2), form)
    whole = decode_audio(data)
    part = decode_audio(data, max_seconds=0.5, position=position)
    start = round(position * (len(whole) - RATE // 2))
    assert len(part) == RATE // 2
    np.testing.assert_allclose(part, whole[start : start + RATE // 2], atol=5e-3 if form in LOSSY else 0)
    assert len(decode_audio(data, max_seconds=3.0, position=position)) == len(whole)


@pytest.mark.parametrize("rate, max_seconds", [(44_100, 1 / 3), (22_050, 0.7777), (11_025, 0.5)])
def test_a_part_is_never_longer_than_asked_for(rate, max_seconds):
    part = decode_audio(encoded(tone(2, rate), rate=rate), max_seconds=max_seconds, position=0.5)
    assert round(max_seconds * RATE) - 1 <= len(part) <= round(max_seconds * RATE)


def test_of_a_long_clip_only_the_part_is_decoded(monkeypatch):
    num_read = []
    read = soundfile.SoundFile.read

    def counted(file, frames, **options):
        block = read(file, frames, **options)
        num_read.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    monkeypatch.setattr(audio, "_BLOCK_VALUES", 10_000)
    decode_audio(encoded(tone(20), "FLAC PCM_16"), max_seconds=2.0, position=0.9)
    assert sum(num_read) == 2 * RATE and max(num_read) == 10_000
    num_read.clear()
    header_seconds(WAV)
    assert num_read == []


def test_blocks_join_without_a_seam(monkeypatch):
    for form in ("FLAC PCM_16", "OGG VORBIS", "OGG OPUS", "MP3"):
        data = encoded(np.stack([speechlike(2), tone(2)], axis=1), form)
        whole = decode_audio(data)
        with monkeypatch.context() as context:
            context.setattr(audio, "_BLOCK_VALUES", 5_000)
            np.testing.assert_allclose(decode_audio(data), whole, atol=1e-6)


def test_every_form_of_a_cell_gives_the_same_waveform(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(WAV)
    cells = [WAV, path, str(path), f"file://{path}", {"bytes": WAV, "path": "elsewhere"}]
    cells += [{"bytes": None, "path": str(path)}, {"array": tone(), "sampling_rate": RATE}]
    cells += [
        {"array": tone().tolist(), "sampling_rate": RATE},
        {"array": np.stack([tone()] * 2), "sampling_rate": RATE},
    ]
    for cell in cells:
        np.testing.assert_allclose(decode_audio(cell), tone(), atol=1e-4)
    assert decode_audio({"array": np.stack([tone()] * 2, axis=1), "sampling_rate": 2 * RATE}).shape == (RATE // 2,)


@pytest.mark.parametrize(
    "cell, reason",
    [
        (None, "missing"),
        ("", "missing"),
        ({"bytes": None, "path": None}, "missing"),
        ({"array": None, "sampling_rate": RATE}, "missing"),
        ("/no/such/file.wav", "missing file"),
        ("file:///no/such/file.wav", "missing file"),
        (b"", "empty"),
        (encoded(tone(0)), "empty"),
        (patched(encoded(tone(0)), 4, 48) + b"LIST\4\0\0\0INFO", "empty"),
        ({"array": [], "sampling_rate": RATE}, "empty"),
        (7.5, "float instead of audio"),
        (b"<html>404 not found</html>" * 9, "not audio"),
        (b"plain text " * 99, "not audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not audio"),
        (np.random.default_rng(0).bytes(5000), "not audio"),
        (WAV[:30], "truncated audio"),
        (patched(WAV, 36, 0), "broken audio"),
        (patched(WAV, 24, 999), "absurd sampling rate"),
        (patched(WAV, 24, 768_001), "absurd sampling rate"),
        (patched(WAV, 22, 0, "<H"), "broken audio"),
        (patched(WAV, 22, 65, "<H"), "absurd number of channels"),
        ({"array": tone(), "sampling_rate": None}, "absurd sampling rate"),
        ({"array": [[1.0], [1.0, 2.0]], "sampling_rate": RATE}, "broken audio"),
        ({"array": tone().reshape(2, 2, -1), "sampling_rate": RATE}, "broken audio"),
        (encoded(np.full(RATE, np.nan), "WAV FLOAT"), "not finite"),
        (encoded(np.r_[tone(), np.inf], "WAV FLOAT"), "not finite"),
        (encoded(np.append(tone().astype(float), 1e300), "WAV DOUBLE"), "not finite"),
        (encoded(np.full((RATE, 2), 3e38), "WAV FLOAT"), "not finite"),
        (encoded(tone(amplitude=0)), "silent"),
        (encoded(tone(amplitude=9e-5), "WAV FLOAT"), "silent"),
        (encoded(tone(amplitude=0) + 0.25, "FLAC PCM_16"), "silent"),
        *((encoded(np.clip(tone(amplitude=2), -1, 1), form), "clipped") for form in ("WAV PCM_U8", "WAV ULAW")),
        *((encoded(np.clip(tone(amplitude=2), -1, 1), form), "clipped") for form in ("WAV FLOAT", "FLAC PCM_16")),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_short_reason(cell, reason):
    assert reason_of(decode_audio, cell) == reason


@pytest.mark.parametrize("scale", [1.2, 2.0**15, 2.0**31])
def test_floats_of_another_scale_are_not_clipped(scale):
    waveform = decode_audio(encoded(tone(amplitude=scale), "WAV FLOAT"))
    np.testing.assert_allclose(waveform, tone(amplitude=scale), rtol=1e-6)
    np.testing.assert_allclose(normalise(waveform), normalise(tone()), atol=1e-3)


def test_errors_that_are_not_the_clips_fault_pass(monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with pytest.raises(MemoryError):
        decode_audio(WAV)


def test_a_file_that_cannot_be_read_is_no_bad_example(monkeypatch):
    def fail(path):
        raise PermissionError("not yours")

    monkeypatch.setattr("hf_unlab.streams.content.Path.read_bytes", fail)
    with pytest.raises(PermissionError):
        read_audio("clip.wav")


def test_measured_examples_hold_their_bytes_and_seconds(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(WAV)
    whole = {"bytes": WAV, "path": str(path)}
    for cell in (path, str(path), {"bytes": None, "path": str(path)}, whole):
        example = measure_example({"audio": cell, "id": 7}, min_seconds=0.5, max_seconds=15.0)
        assert example == {"audio": whole, "id": 7, "seconds": 1.0}
    assert measure_example({"a": WAV}, column="a", min_seconds=0.5, max_seconds=0.75) == {
        "a": {"bytes": WAV, "path": None},
        "seconds": 0.75,
    }
    assert reason_of(measure_example, {"audio": WAV}, min_seconds=1.01, max_seconds=15.0) == "too short"
    assert reason_of(measure_example, {"audio": WAV[:999]}, min_seconds=0.1, max_seconds=15.0) == "truncated audio"


def test_decoded_examples_are_cut_where_they_say():
    decode = functools.partial(decode_example, sampling_rate_hz=RATE, min_seconds=0.25, max_seconds=0.5)
    decode = pickle.loads(pickle.dumps(decode))
    waveform = decode_audio(WAV)
    np.testing.assert_array_equal(decode({"audio": WAV})["audio"], waveform[: RATE // 2])
    example = decode({"audio": WAV, "position": 1.0, "id": 7})
    np.testing.assert_array_equal(example["audio"], waveform[RATE // 2 :])
    assert example["id"] == 7
    assert reason_of(decode, {"audio": encoded(tone(0.2))}) == "too short"


def test_normalised_as_by_the_feature_extractor():
    waveform = speechlike(0.5) + 0.3
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, sampling_rate=RATE)
    want = extractor(waveform, sampling_rate=RATE)["input_values"][0]
    got = normalise(waveform)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("setting", [{"position": 1.1}, {"max_seconds": 0}, {"sampling_rate_hz": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}={next(iter(setting.values()))}"):
        decode_audio(WAV, **setting)
