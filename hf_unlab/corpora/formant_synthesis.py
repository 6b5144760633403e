"""Synthetic speech by source and filter, as in Fant, "Acoustic Theory of Speech Production" (1960), and Klatt (1980).

Klatt's is "Software for a cascade/parallel formant synthesizer", https://doi.org/10.1121/1.383940: glottal pulses and
noise pass through resonators that glide from phoneme to phoneme. Speakers differ in pitch, vocal-tract length, rate,
breathiness, accent, microphone and noise.

Shapes: S samples, T frames of 8 ms, P pairs of poles, K columns or coefficients.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

SAMPLING_RATE_HZ = 16_000
# Mean formants of men, in Hz: Hillenbrand et al. (1995), https://doi.org/10.1121/1.411872, Table V.
_A, _E, _I = (768, 1333, 2522), (476, 2089, 2691), (342, 2322, 3000)
_O, _U = (497, 910, 2459), (378, 997, 2343)
VOWELS_HZ = {"a": _A, "e": _E, "i": _I, "o": _O, "u": _U}
_HOP = 128  # samples in a frame
_NUM_FFT = 4 * _HOP  # two hops of source, then two in which the resonators ring out
_NOSE_HZ = 1000  # of a pole and a zero that cancel, except where a nasal moves the zero
_FIXED_POLES_HZ = (3500, 4500, 5500, _NOSE_HZ)
_BANDWIDTHS_HZ = np.array([70, 100, 150, 220, 280, 350, 120])
_CHANNEL_HZ = (0, 200, 500, 1000, 2000, 4000, 8000)


class _Phase(NamedTuple):
    """What tract and sources aim at for a while: a phoneme, or a part of one."""

    milliseconds: float
    formants_hz: tuple[float, float, float]
    voicing: float = 0
    aspiration: float = 0
    frication: float = 0
    band_hz: tuple[float, float] = (3000, 3000)  # of the frication: centre and width
    zero_hz: float = _NOSE_HZ


def _stop(voiced: bool, locus: tuple[float, float], band: tuple[float, float]) -> tuple[_Phase, ...]:
    """A closure (silent, or a murmur), a burst of noise, and the release: breathed for some time if unvoiced."""
    closure = _Phase(60, (200, *locus), voicing=0.15 if voiced else 0, band_hz=band)
    burst = closure._replace(milliseconds=10, voicing=0, frication=0.3 if voiced else 0.5)
    voice, breath = closure._replace(milliseconds=10, voicing=0.5), closure._replace(milliseconds=35, aspiration=0.3)
    return closure, burst, voice if voiced else breath


_SILENCE = _Phase(1, (500, 1500, 2500))
# The second and third formants that consonants aim at, by place (loci).
_LABIAL, _ALVEOLAR, _VELAR = (900, 2300), (1750, 2700), (2000, 2200)
_PHONEMES = {
    **{vowel: (_Phase(130, formants, voicing=1),) for vowel, formants in VOWELS_HZ.items()},
    **{letter: _stop(letter == "b", _LABIAL, (900, 1500)) for letter in "bp"},
    **{letter: _stop(letter == "d", _ALVEOLAR, (4000, 2000)) for letter in "dt"},
    **{letter: _stop(letter == "g", _VELAR, (1900, 700)) for letter in "gk"},
    "s": (_Phase(110, (300, *_ALVEOLAR), frication=0.5, band_hz=(5500, 1600)),),
    "x": (_Phase(110, (300, 1900, 2600), frication=0.5, band_hz=(3000, 1400)),),  # as "sh" in English
    "f": (_Phase(110, (300, *_LABIAL), frication=0.12, band_hz=(4000, 7000)),),
    "m": (_Phase(75, (250, *_LABIAL), voicing=0.6, zero_hz=750),),
    "n": (_Phase(75, (250, *_ALVEOLAR), voicing=0.6, zero_hz=1600),),
    "l": (_Phase(70, (350, 1150, 2700), voicing=0.7),),
    "r": (_Phase(70, (400, 1200, 1600), voicing=0.7),),
    "w": (_Phase(70, (300, 700, 2200), voicing=0.7),),
    "j": (_Phase(70, (280, 2200, 2950), voicing=0.7),),
    " ": (_SILENCE,),
}
CONSONANTS = tuple(letter for letter in _PHONEMES if letter not in {*VOWELS_HZ, " "})


@dataclass(frozen=True)
class Speaker:
    """A voice, and the microphone before it.

    Args:
        name: Of the speaker.
        pitch_hz: Mean of the fundamental frequency.
        tract_length: Of the vocal tract, 1 being a man's of mean length; formants are divided by it.
        rate: Of speech, 1 being usual.
        breathiness: Level of the noise that leaks through the glottis, 0 to 1.
        tilt: How fast the voice's spectrum falls: the pole of a low-pass filter, 0 to below 1.
        accent: Factors on the first three formants of each of the five vowels.
        channel_db: Gain of the recording channel at 0, 200, 500, 1000, 2000, 4000 and 8000 Hz.
        snr_db: Level of speech over background noise.
    """

    name: str
    pitch_hz: float = 120.0
    tract_length: float = 1.0
    rate: float = 1.0
    breathiness: float = 0.05
    tilt: float = 0.3
    accent: tuple[tuple[float, ...], ...] = ((1.0,) * 3,) * len(VOWELS_HZ)
    channel_db: tuple[float, ...] = (0.0,) * len(_CHANNEL_HZ)
    snr_db: float = 60.0


def draw_speaker(name: str, rng: np.random.Generator) -> Speaker:
    """A speaker at random. People with short vocal tracts have high voices, more often than not.

    Example:
        >>> speaker = draw_speaker("ann", np.random.default_rng(0))
        >>> 80 <= speaker.pitch_hz <= 260, 0.85 <= speaker.tract_length <= 1.2
        (True, True)
    """
    size, high, long = rng.uniform(size=3).tolist()
    return Speaker(
        name,
        pitch_hz=80 * (260 / 80) ** (0.7 * (1 - size) + 0.3 * high),
        tract_length=0.85 + 0.35 * (0.7 * size + 0.3 * long),
        rate=rng.uniform(0.8, 1.25),
        breathiness=rng.uniform(0.02, 0.25),
        tilt=rng.uniform(0, 0.7),
        accent=tuple(map(tuple, np.exp(0.05 * rng.standard_normal((len(VOWELS_HZ), 3))).tolist())),
        channel_db=tuple(rng.normal(scale=4, size=len(_CHANNEL_HZ)).tolist()),
        snr_db=rng.uniform(10, 30),
    )


def speak(text: str, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """Synthesise an utterance.

    Args:
        text: Letters of the inventory, one a phoneme; a space is a short pause, a vowel written twice is longer.
        speaker: Who speaks.
        rng: Decides what differs from one utterance to the next: timing, intonation, articulation, noise, loudness.

    Returns:
        Samples at 16 kHz, float32, between -1 and 1.

    Raises:
        ValueError: Text that has no letter, or one that is no phoneme.

    Example:
        >>> waveform_S = speak("bada kimu", Speaker("ann", pitch_hz=200), np.random.default_rng(0))
        >>> waveform_S.dtype.name, 0.5 < len(waveform_S) / SAMPLING_RATE_HZ < 2, bool(abs(waveform_S).max() < 1)
        ('float32', True, True)
    """
    unknown, inventory = set(text) - set(_PHONEMES), "".join(sorted(_PHONEMES)).strip()
    if unknown or not text.strip():
        problem = f"no phoneme for {', '.join(map(repr, sorted(unknown)))}" if unknown else "nothing to speak"
        raise ValueError(f"There is {problem} in {text!r}; write it with the letters {inventory} and spaces.")
    tract_TK, source_TK = _tracks(text, speaker, rng)
    glottis_S, frication_S = _sources(source_TK, speaker, rng)
    spectra = _filter(glottis_S, np.full(len(tract_TK), True), *_tract(tract_TK, speaker))
    noisy_T = source_TK[:, 2] > 1e-4  # most frames are not
    spectra[noisy_T] += _filter(frication_S, noisy_T, *_band(source_TK[noisy_T, 3:]))
    # the filtered stretches overlap
    parts = irfft(spectra, _NUM_FFT).reshape(len(spectra), -1, _HOP)
    speech = np.zeros((len(spectra) + parts.shape[1] - 1, _HOP), dtype=np.float32)
    for k in range(parts.shape[1]):
        speech[k : k + len(spectra)] += parts[:, k]
    return _record(speech[1 : len(spectra) + 1].ravel(), speaker, rng)


def _tracks(text: str, speaker: Speaker, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What tract and sources do in each frame: the phases' targets, smoothed, as a tongue is slower than a glottis."""
    vowels = [i for i, letter in enumerate(text) if letter in VOWELS_HZ]
    letters = [(" ", rng.uniform(0.2, 1.2)), *((letter, 1.0) for letter in text), (" ", rng.uniform(0.2, 1.2))]
    tracts, sources, seconds = [], [], []
    for i, (letter, stretch) in enumerate(letters, start=-1):
        stretch *= np.exp(0.15 * rng.standard_normal()) / speaker.rate
        deviation = np.exp(0.04 * rng.standard_normal(3))
        if letter in VOWELS_HZ:
            deviation *= speaker.accent[list(VOWELS_HZ).index(letter)]
        for phase in _PHONEMES[letter]:
            formants = np.array(phase.formants_hz, dtype=float)
            if vowels and letter in CONSONANTS:  # the tongue is already on its way to the next vowel
                nearest = next((v for v in vowels if v > i), vowels[-1])
                formants[1:] += 0.35 * (np.array(VOWELS_HZ[text[nearest]][1:]) - formants[1:])
            tracts.append([*formants * deviation, phase.zero_hz])
            sources.append([phase.voicing, phase.aspiration, phase.frication, *phase.band_hz])
            seconds.append((rng.uniform(0.06, 0.18) if letter == " " else phase.milliseconds / 1000) * stretch)
    num_frames = np.diff(np.rint(np.cumsum([0, *seconds]) * SAMPLING_RATE_HZ / _HOP).astype(int))
    tract_TK = np.repeat(np.array(tracts), num_frames, axis=0) / speaker.tract_length
    source_TK = np.repeat(np.array(sources), num_frames, axis=0) / [1, 1, 1, speaker.tract_length, 1]
    return (
        gaussian_filter1d(tract_TK, 2.2 / speaker.rate, axis=0, mode="nearest"),
        gaussian_filter1d(source_TK, 0.5, axis=0, mode="nearest"),
    )


def _sources(source_TK: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The air at the glottis (pulses and breath), and the noise of a narrow passage further on."""
    time_T = np.arange(len(source_TK)) / len(source_TK)
    # the pitch falls, with a wave on it
    wave_T = 0.06 * np.sin(2 * np.pi * (rng.uniform(0.5, 2.5) * time_T + rng.uniform()))
    pitch_T = speaker.pitch_hz * np.exp(rng.normal(scale=0.04) + rng.uniform(0.1, 0.3) * (0.5 - time_T) + wave_T)
    tracks_KT = np.vstack([source_TK.T[:3], pitch_T])[..., None]
    slopes_KT = np.diff(tracks_KT, axis=1, append=tracks_KT[:, -1:])
    tracks_KS = (tracks_KT + slopes_KT * (np.arange(_HOP) / _HOP)).reshape(4, -1)
    voicing_S, aspiration_S, frication_S = tracks_KS[:3].astype(np.float32)
    cycles_S = np.cumsum(tracks_KS[3] / SAMPLING_RATE_HZ)
    # jitter and shimmer: no two periods are of the same length and strength
    ends = np.arange(int(cycles_S[-1]) + 3)
    cycles_S = np.interp(cycles_S, ends, ends + 0.01 * rng.standard_normal(len(ends))).clip(0)
    period_S = cycles_S.astype(int)
    phase_S = (cycles_S - period_S).astype(np.float32)
    # The flow's derivative, which is what is heard from afar: Rosenberg (1971), https://doi.org/10.1121/1.1912389,
    # opening for 40 % of a period and closing for 16 %, which is a half and a quarter of a wave.
    angle_S = np.where(phase_S < 0.4, phase_S / 0.4, 1 + (phase_S - 0.4) / 0.32)
    pulses_S = np.sin(np.pi * angle_S) * np.where(phase_S < 0.4, 1.25, 3.125) * (phase_S < 0.56)
    pulses_S *= np.exp(0.05 * rng.standard_normal(len(ends), dtype=np.float32))[period_S]
    pulses_S = lfilter(np.float32([1 - speaker.tilt]), np.float32([1, -speaker.tilt]), pulses_S)
    breath_S = speaker.breathiness * np.where(phase_S < 0.56, np.float32(1), np.float32(0.3))
    noise_2S = rng.standard_normal((2, len(phase_S)), dtype=np.float32)
    return voicing_S * (pulses_S + breath_S * noise_2S[0]) + aspiration_S * noise_2S[0], frication_S * noise_2S[1]


def _pair(frequency_TP: np.ndarray, bandwidth_P: np.ndarray) -> np.ndarray:
    """The polynomials in 1/z with a pair of roots at a frequency, which are 1 at 0 Hz."""
    radius_TP = np.exp(-np.pi / SAMPLING_RATE_HZ * bandwidth_P) * np.ones_like(frequency_TP)
    middle_TP = -2 * radius_TP * np.cos(2 * np.pi / SAMPLING_RATE_HZ * frequency_TP)
    polynomial_TPK = np.stack([np.ones_like(middle_TP), middle_TP, radius_TP**2], axis=-1)
    return polynomial_TPK / polynomial_TPK.sum(axis=-1, keepdims=True)


def _tract(tract_TK: np.ndarray, speaker: Speaker) -> tuple[np.ndarray, np.ndarray]:
    """Zeros and poles of the vocal tract in each frame: a cascade of formants, and the nose's pair."""
    fixed_TP = np.full((len(tract_TK), len(_FIXED_POLES_HZ)), _FIXED_POLES_HZ) / speaker.tract_length
    poles_TPK = _pair(np.hstack([tract_TK[:, :3], fixed_TP]), _BANDWIDTHS_HZ)
    # the product of the seven pairs, of degree 14
    return _pair(tract_TK[:, 3], _BANDWIDTHS_HZ[-1]), irfft(rfft(poles_TPK, 16).prod(axis=1), 16)[:, :15]


def _band(centre_width_TK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zeros and poles of a resonance that passes its centre with a gain of about 1, and nothing at 0 and 8,000 Hz."""
    poles_TK = _pair(*centre_width_TK.T)
    poles_TK /= poles_TK[:, :1]
    return np.array([1, 0, -1]) * (1 - poles_TK[:, 2:]) / 2, poles_TK


def _filter(signal_S: np.ndarray, wanted_T: np.ndarray, zeros_TK: np.ndarray, poles_TK: np.ndarray) -> np.ndarray:
    """The spectra of windowed stretches of a signal, one a wanted frame, each filtered as its frame says.

    The filters differ from frame to frame, which one call of a recursive filter cannot do.
    """
    window = np.hanning(2 * _HOP + 1)[:-1].astype(np.float32)  # overlapping halves add up to 1
    stretches = np.lib.stride_tricks.sliding_window_view(np.pad(signal_S, _HOP), 2 * _HOP)[: len(signal_S) : _HOP]
    return rfft(stretches[wanted_T] * window, _NUM_FFT) * _on_circle(zeros_TK) / _on_circle(poles_TK)


def _on_circle(polynomial_TK: np.ndarray) -> np.ndarray:
    """Polynomials in 1/z at the frequencies of the spectra: a Fourier transform, of rows that are mostly padding."""
    powers = np.outer(np.arange(polynomial_TK.shape[1]), np.arange(_NUM_FFT // 2 + 1))
    # in double precision, as terms almost cancel near many roots
    return (polynomial_TK @ np.exp(-2j * np.pi / _NUM_FFT * powers).view(float)).view(complex).astype(np.complex64)


def _record(speech_S: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """The room's noise, the channel, and a loudness that is another each time."""
    noise_S = rng.standard_normal(len(speech_S), dtype=np.float32)
    noise_S += 0.5 * lfilter(np.float32([1]), np.float32([1, -0.95]), noise_S)  # with a rumble
    level = np.sqrt(np.mean(speech_S**2) / np.mean(noise_S**2))
    recorded_S = speech_S + np.float32(level * 10 ** (-(speaker.snr_db + rng.normal(scale=2)) / 20)) * noise_S
    size = next_fast_len(len(speech_S), real=True)
    frequencies = np.linspace(0, SAMPLING_RATE_HZ / 2, size // 2 + 1)
    gains_db = np.interp(np.sqrt(frequencies), np.sqrt(_CHANNEL_HZ), speaker.channel_db)
    gains = (10 ** (gains_db / 20)).astype(np.float32)
    recorded_S = irfft(rfft(recorded_S, size) * gains, size)[: len(speech_S)]
    gain = 10 ** (rng.uniform(-30, -18) / 20) / np.sqrt(np.mean(recorded_S**2))
    return recorded_S * np.float32(min(gain, 0.95 / np.abs(recorded_S).max()))
