"""`builtin:formants`: synthetic speech with transcripts, words and speakers, for audio recipes without a download.

This is NOT speech. Made-up words are synthesised, by speakers who differ in voice, accent and microphone: see
`formant_synthesis`. A result on it shows that the machinery works; it says nothing about how a model would do on
people's speech.

Splits: `train` is for pretraining, 2 to 4 words in a row, half of them from `LEXICON`, half nonsense. `labelled_train`
and `labelled_test` hold single words of the lexicon with a `label`; `transcribed_train` and `transcribed_test` hold 2
to 4 of them in a row. The speakers of `train`, of `*_train` and of `*_test` are three groups with nobody in common.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, Features, Value

from hf_unlab.corpora.cache import made_once
from hf_unlab.corpora.formant_synthesis import CONSONANTS, SAMPLING_RATE_HZ, VOWELS_HZ, draw_speaker, speak
from hf_unlab.streams.extras import of_extras

with of_extras():
    import soundfile

# Two syllables each, one letter a phoneme; many differ in one phoneme only.
_WORDS = "bada bata pata kimu kinu gimu soli xoli sori denu tenu lima rima wago jako nesu nexu pelok pelot fowan"
LEXICON = tuple(_WORDS.split())
_SPEAKERS = {
    "train": range(40),
    **dict.fromkeys(("labelled_train", "transcribed_train"), range(40, 50)),
    **dict.fromkeys(("labelled_test", "transcribed_test"), range(50, 60)),
}
_NUM_UTTERANCES = {"train": 800, "transcribed_train": 110, "transcribed_test": 64}
_NUM_EXAMPLES = {"labelled_train": 60, "labelled_test": 25}  # of each word
_NUM_ROW_GROUPS = 64
_SEED = 1960
_FORMAT = 2  # raise it when the sounds change


def data_files() -> dict[str, Path]:
    """The parquet file of each split; synthesises the corpus on first use, which takes about 20 s.

    Columns: `audio` (FLAC, 16 bits, 16 kHz, mono), `text` (letters, with spaces between words), `speaker`, and in the
    labelled splits `label`, the word.

    Returns:
        A path for each of `train`, `labelled_train`, `labelled_test`, `transcribed_train` and `transcribed_test`.

    Raises:
        OSError: The cache folder (`HF_HOME`) cannot be written.
    """
    folder = made_once(f"formants-{_FORMAT}", _write)
    return {split: folder / f"{split}.parquet" for split in _SPEAKERS}


def _texts(split: str, rng: np.random.Generator) -> list[tuple[str, int]]:
    """What is said in a split and the number of who says it, in random order."""
    speakers = _SPEAKERS[split]
    if split in _NUM_EXAMPLES:  # words take turns where examples do not share out evenly
        words = [(w, i) for w in range(len(LEXICON)) for i in range(_NUM_EXAMPLES[split])]
        pairs = [(LEXICON[w], speakers[(i + 5 * w) % len(speakers)]) for w, i in words]
    else:
        share = 0.5 if split == "train" else 1
        texts = (" ".join(_word(share, rng) for _ in range(rng.integers(2, 5))) for _ in range(_NUM_UTTERANCES[split]))
        pairs = [(text, speakers[i % len(speakers)]) for i, text in enumerate(texts)]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _word(share: float, rng: np.random.Generator) -> str:
    """A word of the lexicon, or nonsense of two or three syllables, in which no two consonants meet."""
    if rng.uniform() < share:
        return LEXICON[rng.integers(len(LEXICON))]
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS_HZ]
    codes = rng.integers(len(syllables), size=rng.integers(2, 4)).tolist()
    word = "".join(syllables[code] for code in codes)
    return word + ("klmnprst"[rng.integers(8)] if rng.uniform() < 0.2 else "")


def _rows(split: str) -> Iterator[dict[str, Any]]:
    key = list(_SPEAKERS).index(split)
    for i, (text, number) in enumerate(_texts(split, np.random.default_rng([_SEED, key]))):
        speaker = draw_speaker(f"speaker {number}", np.random.default_rng([_SEED, len(_SPEAKERS), number]))
        flac = io.BytesIO()
        waveform_S = speak(text, speaker, np.random.default_rng([_SEED, key, i]))
        soundfile.write(flac, waveform_S, SAMPLING_RATE_HZ, format="FLAC", subtype="PCM_16")
        row = {"audio": {"bytes": flac.getvalue(), "path": None}, "text": text, "speaker": speaker.name}
        yield row | ({"label": text} if split in _NUM_EXAMPLES else {})


def _write(folder: Path) -> None:
    for split in _SPEAKERS:
        columns = ("text", "speaker", "label") if split in _NUM_EXAMPLES else ("text", "speaker")
        features = Features({"audio": Audio(decode=False), **dict.fromkeys(columns, Value("string"))})
        table = pa.Table.from_pylist(list(_rows(split)), schema=features.arrow_schema)
        # many row groups, so that many readers can each take some (IterableDataset.reshard)
        num_rows = max(1, table.num_rows // _NUM_ROW_GROUPS)
        pq.write_table(table, folder / f"{split}.parquet", row_group_size=num_rows)
