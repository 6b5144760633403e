"""What CTC fine-tuning reads: transcripts as ids of characters, and batches of padded, partly hidden utterances.

Letters: B batch, T frames.
"""

import itertools
import json
import logging
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import FeatureExtractionMixin, PretrainedConfig, Wav2Vec2CTCTokenizer, Wav2Vec2Processor

from hf_unlab.modalities.audio.models import frames_of
from hf_unlab.modalities.running import pad_on_the_right
from hf_unlab.objectives.wav2vec2.collator import mask_spans
from hf_unlab.streams.bad_examples import Example

logger = logging.getLogger(__name__)
BLANK, UNKNOWN, SPACE = "[PAD]", "[UNK]", "|"


def normalise_transcript(text: str, lowercase: bool = False) -> str:
    """A transcript in the one form that labels and references have: NFKC, single spaces, no "|", which means a space.

    Raises:
        ValueError: It is no text.

    Example:
        >>> normalise_transcript(" Cafe\\u0301 |  ﬁne ", lowercase=True)
        'café fine'
    """
    if not isinstance(text, str):
        raise ValueError(f"A transcript is {text!r}: give text, and leave out recordings that have none.")
    text = unicodedata.normalize("NFKC", text)
    # NFKC again: small letters of some composed ones are decomposed
    text = unicodedata.normalize("NFKC", text.lower()) if lowercase else text
    return " ".join(text.replace(SPACE, " ").split())


def character_vocabulary(transcripts: Iterable[str], lowercase: bool = False) -> dict[str, int]:
    """The characters of transcripts, with their ids.

    Args:
        transcripts: The training transcripts; they are normalised as `normalise_transcript` does.
        lowercase: Whether to write small letters only.

    Returns:
        [PAD], which is CTC's blank, [UNK], | for the space, then the characters in their order by code point.

    Raises:
        ValueError: There is no character at all.

    Example:
        >>> character_vocabulary(["ab a", "Ba"])
        {'[PAD]': 0, '[UNK]': 1, '|': 2, 'B': 3, 'a': 4, 'b': 5}
    """
    characters = set().union(*(normalise_transcript(text, lowercase) for text in transcripts)) - {" "}
    if not characters:
        raise ValueError("The transcripts hold no character: give some that say something.")
    return {token: i for i, token in enumerate([BLANK, UNKNOWN, SPACE, *sorted(characters)])}


def make_processor(vocabulary: dict[str, int], feature_extractor: FeatureExtractionMixin) -> Wav2Vec2Processor:
    """What turns waveforms into inputs and ids into text; saved beside a model, `AutoProcessor` loads it.

    Args:
        vocabulary: As `character_vocabulary` makes it.
        feature_extractor: The encoder's own.

    Example:
        >>> from transformers import Wav2Vec2FeatureExtractor
        >>> processor = make_processor(character_vocabulary(["ab"]), Wav2Vec2FeatureExtractor())
        >>> processor.batch_decode([[3, 3, 0, 3, 2, 4, 0]])
        ['aa b']
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.json"
        path.write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(
            str(path),
            pad_token=BLANK,
            unk_token=UNKNOWN,
            word_delimiter_token=SPACE,
            bos_token=None,  # by default they would become two more tokens that the model has no outputs for
            eos_token=None,
        )
    pad_on_the_right(feature_extractor)
    return Wav2Vec2Processor(feature_extractor=feature_extractor, tokenizer=tokenizer)


def encode(utterances: Iterable[Example], processor: Wav2Vec2Processor) -> list[Example]:
    """`input_values` and `labels` of utterances, each normalised by itself, whatever it is padded with later.

    Args:
        utterances: `audio`, a waveform (samples,) at the processor's rate, and `text`, a normalised transcript.
        processor: As `make_processor` makes it.
    """
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    return [
        {
            "input_values": extractor(row["audio"], sampling_rate=extractor.sampling_rate).input_values[0],
            # character by character: a call would read a transcript's literal "[PAD]" as the blank
            "labels": tokenizer.convert_tokens_to_ids(list(row["text"].replace(" ", SPACE))),
        }
        for row in utterances
    ]


def has_path(labels: Sequence[int], num_frames: int) -> bool:
    """Whether CTC can write labels into so many frames: one each, and a blank between equal neighbours.

    Example:
        >>> has_path([3, 3], 2), has_path([3, 3], 3), has_path([3, 4], 2)
        (False, True, True)
    """
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) <= num_frames


def with_path(rows: list[Example], config: PretrainedConfig) -> list[Example]:
    """The utterances that CTC can learn from; how many it cannot is warned of.

    Args:
        rows: As `encode` makes them.
        config: The model's.

    Raises:
        ValueError: Nothing is left.
    """
    num_frames = frames_of(
        np.array([len(row["input_values"]) for row in rows]), config.conv_kernel, config.conv_stride
    )
    kept = [row for row, frames in zip(rows, num_frames, strict=True) if has_path(row["labels"], frames)]
    if not kept:
        raise ValueError(
            f"Each of the {len(rows)} utterances has more characters than frames, so that CTC cannot learn from any; "
            "are these the transcripts of these recordings?"
        )
    if len(kept) < len(rows):
        left_out = len(rows) - len(kept)
        logger.warning("Left out %d of %d utterances: they have more characters than frames.", left_out, len(rows))
    return kept


class CTCCollator:
    """Pads utterances, and hides spans of frames as SpecAugment does (https://huggingface.co/papers/1904.08779).

    transformers would refuse a batch whose clips have fewer frames than a span; here a clip under two spans is not
    masked. Labels are padded with -100, which the loss leaves out.

    Args:
        processor: Its feature extractor decides whether there is an `attention_mask`: encoders with group
            normalisation were trained without one.
        config: The model's.
        mask_time_prob: Share of frames hidden; 0 for none.
        mask_time_length: Frames of a span.
        seed: Decides what is hidden.

    Example:
        >>> from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor
        >>> processor = make_processor(character_vocabulary(["ab"]), Wav2Vec2FeatureExtractor())
        >>> rows = encode([{"audio": np.ones(900), "text": "ab"}, {"audio": np.ones(800), "text": "a"}], processor)
        >>> batch = CTCCollator(processor, Wav2Vec2Config())(rows)
        >>> batch["labels"].tolist(), tuple(batch["input_values"].shape), tuple(batch["mask_time_indices"].shape)
        ([[3, 4], [3, -100]], (2, 900), (2, 2))
    """

    def __init__(
        self,
        processor: Wav2Vec2Processor,
        config: PretrainedConfig,
        *,
        mask_time_prob: float = 0.05,
        mask_time_length: int = 10,
        seed: int = 0,
    ) -> None:
        self._processor, self._config = processor, config
        self._probability, self._span_length = mask_time_prob, mask_time_length
        self._rng = np.random.default_rng(seed)

    def __call__(self, rows: list[Example]) -> dict[str, torch.Tensor]:
        """`input_values` (B, samples), `labels` (B, characters), `mask_time_indices` (B, T), perhaps a mask."""
        inputs = [{"input_values": row["input_values"]} for row in rows]
        batch = dict(self._processor.feature_extractor.pad(inputs, padding=True, return_tensors="pt"))
        labels = [torch.tensor(row["labels"]) for row in rows]
        batch["labels"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        if self._probability:
            batch["mask_time_indices"] = self._hidden_frames([len(row["input_values"]) for row in rows])
        return batch

    def _hidden_frames(self, num_samples: list[int]) -> torch.Tensor:
        """All False where no clip is long enough: with nothing given, the model would mask by itself and raise."""
        num_frames_B = frames_of(np.array(num_samples), self._config.conv_kernel, self._config.conv_stride)
        hidden_BT = np.zeros((len(num_frames_B), num_frames_B.max()), dtype=bool)
        long_B = np.where(num_frames_B >= 2 * self._span_length, num_frames_B, 0)
        spans_BT = mask_spans(
            long_B, probability=self._probability, span_length=self._span_length, rng=self._rng, min_spans=1
        )
        hidden_BT[:, : spans_BT.shape[1]] = spans_BT
        return torch.from_numpy(hidden_BT)
