"""Headers tell how long a clip is and whether it was cut; damage ends in samples or in a bad example, quietly."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.modalities.audio.headers import _Bytes
from hf_unlab.modalities.audio.reading import decode_audio, header_seconds
from hf_unlab.streams.bad_examples import BadExample
from tests.modalities.audio.helpers import RATE, WAV, encoded, patched, reason_of, speechlike, tone

GOOD = {
    form: encoded(speechlike(0.3), form)
    for form in ("WAV PCM_16", "WAV FLOAT", "FLAC PCM_16", "OGG VORBIS", "OGG OPUS", "MP3", "AIFF PCM_16")
}


@pytest.mark.parametrize(
    "form", ["WAV PCM_16", "WAV FLOAT", "RF64 PCM_16", "AIFF PCM_16", "OGG VORBIS", "OGG OPUS", "MP3"]
)
def test_cut_files_are_known_by_their_headers(form):
    data = encoded(speechlike(2), form)
    if form != "RF64 PCM_16":  # its size stands elsewhere: what is there is taken
        assert reason_of(header_seconds, data[: len(data) // 2]) == "truncated audio"
        assert reason_of(decode_audio, data[: len(data) // 2]) == "truncated audio"


def test_flac_is_known_to_be_cut_when_it_is_decoded():
    data = encoded(speechlike(2), "FLAC PCM_16")[:30_000]
    assert header_seconds(data) == 2
    assert reason_of(decode_audio, data) == "truncated audio"
    assert reason_of(decode_audio, data, max_seconds=1.0, position=1.0) in ("truncated audio", "broken audio")
    unknown = data[:21] + bytes([data[21] & 0xF0]) + bytes(4) + data[26:]
    assert reason_of(header_seconds, unknown) == "unknown length"
    endless = data[:21] + bytes([data[21] | 0x0F]) + b"\xff" * 4 + data[26:]
    assert reason_of(header_seconds, endless) == "truncated audio"


@pytest.mark.parametrize("riff, size", [(0xFFFFFFFF, 0xFFFFFFFF), (0, 0), (36, 0), (0x7FFFF024, 0x7FFFF000)])
def test_wavs_from_pipes_are_as_long_as_they_are(riff, size):
    data = patched(patched(WAV, 4, riff), 40, size)
    assert header_seconds(data) == 1.0
    np.testing.assert_allclose(decode_audio(data), tone(), atol=1e-4)


def test_odd_chunks_and_what_follows_the_data_do_no_harm():
    odd = WAV[:36] + b"junk" + struct.pack("<I", 5) + b"abcde\0" + WAV[36:]
    for data in (odd, WAV + b"LIST\4\0\0\0INFO", WAV + b"xyz" * 1001, WAV[:-2]):
        assert abs(header_seconds(data) - 1) < 1e-3
        assert abs(len(decode_audio(data)) - RATE) <= 1


def test_tags_around_mp3_do_no_harm_and_print_nothing(capfd):
    data = encoded(speechlike(0.5), "MP3")
    tag = b"ID3\3\0\0\0\0\x10\0" + bytes(2048)
    for cell in (data, data + b"TAG" + bytes(125), tag + data, tag + data + b"TAG" + bytes(1025)):
        np.testing.assert_array_equal(decode_audio(cell), decode_audio(data))
    assert reason_of(decode_audio, data[: len(data) // 2]) == "truncated audio"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", GOOD)
@settings(derandomize=True, database=None, max_examples=15, deadline=None)
@given(data=st.data())
def test_damage_ends_in_finite_samples_or_a_bad_example(form, data):
    good = bytearray(GOOD[form])
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1) | st.integers(0, 100))] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(good[: data.draw(st.just(len(good)) | st.integers(1, len(good)))])
    with contextlib.suppress(BadExample):
        waveform = decode_audio(cut, max_seconds=data.draw(st.sampled_from([None, 0.1])), position=0.5)
        assert waveform.dtype == np.float32 and len(waveform) and np.isfinite(waveform).all()
    with contextlib.suppress(BadExample):
        assert header_seconds(cut) > 0


def test_seeking_before_the_start_prints_nothing(capfd):
    source = _Bytes(b"abc")
    assert source.seek(2) == 2 and source.seek(-5, 1) == 0
    assert source.seek(1) == 1 and source.seek(-5) == 1
    for at in range(12, 54):  # of every number in the header of an AIFF
        with contextlib.suppress(BadExample):
            decode_audio(patched(GOOD["AIFF PCM_16"], at, 0xFFFFFFF0, ">I"))
    assert capfd.readouterr().err == ""
