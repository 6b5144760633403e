"""MP4, AAC and WebM go through FFmpeg where it is, here a stand-in for it; where it is not, the reason says so."""

import io
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from hf_unlab.modalities.audio import ffmpeg
from hf_unlab.modalities.audio.reading import decode_audio, decode_example, measure_example, read_audio
from hf_unlab.streams.bad_examples import BadExample

M4A, AAC, WEBM = b"\0\0\0\x20ftypM4A rest", b"\xff\xf1rest", b"\x1aE\xdf\xa3rest"
TONE = 0.5 * np.sin(np.arange(16_000) / 5)


def program(tmp_path, body):
    """An `ffmpeg` on the path that is called as the real one."""
    path = tmp_path / "bin" / "ffmpeg"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport sys\ngiven, made = sys.argv[sys.argv.index('-i') + 1], sys.argv[-1]\n{body}"
    )
    path.chmod(0o755)
    return str(path.parent)


@pytest.fixture
def without_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    for name in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("data", [M4A, AAC, WEBM], ids=["m4a", "aac", "webm"])
def test_the_program_is_asked_and_its_sound_is_heard(data, tmp_path, monkeypatch):
    wav = tmp_path / "tone.wav"
    soundfile.write(wav, TONE, 16_000, subtype="FLOAT")
    body = f"import shutil\nassert open(given, 'rb').read() == {data!r}\nshutil.copy({str(wav)!r}, made)\n"
    monkeypatch.setenv("PATH", program(tmp_path, body))
    assert decode_audio(data) == pytest.approx(TONE, abs=1e-6)


def test_a_clip_is_made_to_wav_once(tmp_path, monkeypatch):
    calls = []

    def to_wav(data):
        calls.append(data)
        buffer = io.BytesIO()
        soundfile.write(buffer, TONE, 16_000, format="WAV", subtype="FLOAT")
        return buffer.getvalue()

    monkeypatch.setattr("hf_unlab.modalities.audio.reading.to_wav", to_wav)
    (tmp_path / "clip.m4a").write_bytes(M4A)
    settings = {"min_seconds": 0.1, "max_seconds": 15.0}
    measured = measure_example({"audio": {"bytes": None, "path": str(tmp_path / "clip.m4a")}}, **settings)
    assert measured["seconds"] == 1.0
    assert len(decode_example(measured, sampling_rate_hz=16_000, **settings)["audio"]) == 16_000
    assert calls == [M4A]


@pytest.mark.parametrize("body", ["sys.exit(1)", "pass"], ids=["fails", "writes nothing"])
def test_what_ffmpeg_cannot_read_is_broken(body, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", program(tmp_path, body + "\n"))
    with pytest.raises(BadExample, match=r"^broken audio$"):
        read_audio(M4A)


def test_torchcodec_is_asked_where_there_is_no_program(without_ffmpeg, monkeypatch):
    def decoder(data):
        assert data == AAC
        samples = SimpleNamespace(data=torch.tensor(np.stack([TONE, TONE]), dtype=torch.float32), sample_rate=16_000)
        return SimpleNamespace(get_all_samples=lambda: samples)

    module = ModuleType("torchcodec.decoders")
    module.AudioDecoder = decoder
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    assert decode_audio(AAC) == pytest.approx(TONE, abs=1e-6)


@pytest.mark.parametrize("data, name", [(M4A, "MP4"), (AAC, "AAC"), (WEBM, "WebM")])
def test_without_either_the_reason_says_what_is_needed(data, name, without_ffmpeg):
    with pytest.raises(BadExample) as bad:
        read_audio(data)
    assert str(bad.value) == f"{name}: needs ffmpeg or torchcodec"
    assert len(str(bad.value)) <= 40  # what a table of bad examples shows


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_what_libsndfile_reads_is_left_to_it(form, without_ffmpeg):
    buffer = io.BytesIO()
    soundfile.write(buffer, TONE, 16_000, format=form)
    assert ffmpeg.format_of(buffer.getvalue()) is None
    assert len(decode_audio(buffer.getvalue())) >= 16_000
