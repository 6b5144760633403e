"""Clips for the tests of audio: tones, noise, and files of them, whole and damaged."""

import io
import struct

import numpy as np
import pytest
import soundfile

from hf_unlab.streams.bad_examples import BadExample

RATE = 16_000


def tone(seconds=1.0, rate=RATE, hz=440.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def speechlike(seconds, rate=RATE):
    noise = np.random.default_rng(0).standard_normal(round(seconds * rate)).astype(np.float32)
    return tone(seconds, rate) + 0.05 * noise


def encoded(waveform, form="WAV PCM_16", rate=RATE):
    file = io.BytesIO()
    container, _, subtype = form.partition(" ")
    soundfile.write(file, waveform, rate, format=container, subtype=subtype or None)
    return file.getvalue()


def patched(data, at, number, form="<I"):
    return data[:at] + struct.pack(form, number) + data[at + struct.calcsize(form) :]


def reason_of(function, *args, **kwargs):
    with pytest.raises(BadExample) as caught:
        function(*args, **kwargs)
    assert len(str(caught.value)) <= 40
    return str(caught.value)


WAV = encoded(tone())
