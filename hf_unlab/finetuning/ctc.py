"""Fine-tuning a speech encoder to transcribe, on minutes of labels: CTC over characters, greedy decoding, CER and WER.

Graves et al. 2006 (https://www.cs.toronto.edu/~graves/icml_2006.pdf), as wav2vec 2.0 is fine-tuned
(https://huggingface.co/papers/2006.11477). Letters: B batch, T frames, V vocabulary.
"""

import copy
import itertools
import json
import logging
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import evaluate
import jiwer
import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    FeatureExtractionMixin,
    PretrainedConfig,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2Processor,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hf_unlab.audio_settings import AudioFinetuneSettings
from hf_unlab.data.audio import decode_audio
from hf_unlab.data.bad_examples import BadExample, Example, good_examples
from hf_unlab.data.masking import mask_spans
from hf_unlab.data.source_reader import iterate
from hf_unlab.data.sources import open_stream
from hf_unlab.evaluation.metrics import _InMemory

logger = logging.getLogger(__name__)

BLANK, UNKNOWN, SPACE = "[PAD]", "[UNK]", "|"
RESULTS_NAME = "ctc_results.json"
TEST_BATCH_SIZE, NUM_EXAMPLES = 16, 3
OnProgress = Callable[[str, int, int], None]


@dataclass
class CTCTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with defaults for minutes of labels."""

    max_steps: int = field(default=500, metadata={"help": "Optimiser steps."})
    learning_rate: float | None = field(
        default=None,
        metadata={"help": "Its peak; by default 1e-3 for models under 20 M parameters and 1e-4 for larger ones."},
    )
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps, or below 1 the share of them, of warm-up."})
    per_device_train_batch_size: int = field(default=8, metadata={"help": "Utterances a step and device."})
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={
            "help": "random, or group_by_length for less padding.",
            "choices": ["random", "sequential", "group_by_length"],
        },
    )
    save_strategy: str = field(default="no", metadata={"help": "The model is saved at the end in any case."})
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Pin memory for the GPU."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Has no effect here."})


def normalise_transcript(text: str, lowercase: bool = False) -> str:
    """A transcript in the one form that labels and references have: NFKC, single spaces, no "|", which means a space.

    Example:
        >>> normalise_transcript(" Cafe\\u0301 |  ﬁne ", lowercase=True)
        'café fine'
    """
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


def count_frames(config: PretrainedConfig, num_samples: np.ndarray) -> np.ndarray:
    """Frames that an encoder's convolutions make of so many samples; 0 of too few.

    Example:
        >>> from transformers import Wav2Vec2Config
        >>> count_frames(Wav2Vec2Config(), np.array([16000, 400, 399]))
        array([49,  1,  0])
    """
    num_frames = np.asarray(num_samples)
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        num_frames = np.maximum((num_frames - kernel) // stride + 1, 0)
    return num_frames


def has_path(labels: Sequence[int], num_frames: int) -> bool:
    """Whether CTC can write labels into so many frames: one each, and a blank between equal neighbours.

    Example:
        >>> has_path([3, 3], 2), has_path([3, 3], 3), has_path([3, 4], 2)
        (False, True, True)
    """
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) <= num_frames


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
        num_frames_B = count_frames(self._config, np.array(num_samples))
        hidden_BT = np.zeros((len(num_frames_B), num_frames_B.max()), dtype=bool)
        long_B = np.where(num_frames_B >= 2 * self._span_length, num_frames_B, 0)
        spans_BT = mask_spans(
            long_B, probability=self._probability, span_length=self._span_length, rng=self._rng, min_spans=1
        )
        hidden_BT[:, : spans_BT.shape[1]] = spans_BT
        return torch.from_numpy(hidden_BT)


class ErrorRates(_InMemory):
    """Character and word error rate over all utterances together: edits by characters (words) of the references.

    What is heard where the reference is empty counts as insertions, for inventing words is an error, too.

    Example:
        >>> ErrorRates().compute(predictions=["a bat", "x"], references=["a cat", ""])
        {'cer': 0.4, 'wer': 1.0}
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Character and word error rate.",
            citation="",
            inputs_description="predictions: transcripts. references: the right ones.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        if not any(reference.strip() for reference in references):
            raise ValueError("All references are empty, so there is no error rate: give some that hold words.")
        return {"cer": float(jiwer.cer(references, predictions)), "wer": float(jiwer.wer(references, predictions))}


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """`ErrorRates` of hypotheses.

    Example:
        >>> error_rates(["a cat"], ["a cut"])
        {'cer': 0.2, 'wer': 0.5}
    """
    return ErrorRates().compute(predictions=list(hypotheses), references=list(references))


def transcribe(model: PreTrainedModel, processor: Wav2Vec2Processor, waveforms: Sequence[np.ndarray]) -> list[str]:
    """The likeliest character of each frame, repeats merged, then blanks left out; empty for a clip of no frame.

    A clip's transcript does not depend on the others': clips are padded only for a model that is told so by an
    attention mask; other models, of which group normalisation would hear the padding, get clips of one length at once.

    Args:
        model: A CTC model; it is put into evaluation mode.
        processor: Its processor.
        waveforms: (samples,) each, at the processor's rate.
    """
    extractor = processor.feature_extractor
    texts, lengths = [""] * len(waveforms), np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
    num_frames = count_frames(model.config, lengths)
    order = [i for i in np.argsort(-lengths, kind="stable").tolist() if num_frames[i]]
    model.eval()
    for _, group in itertools.groupby(order, key=lambda i: 0 if extractor.return_attention_mask else lengths[i]):
        members = list(group)
        for start in range(0, len(members), TEST_BATCH_SIZE):
            indices = members[start : start + TEST_BATCH_SIZE]
            rows = [
                {"input_values": extractor(waveforms[i], sampling_rate=extractor.sampling_rate).input_values[0]}
                for i in indices
            ]
            batch = extractor.pad(rows, padding=True, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                ids_BT = model(**batch).logits.argmax(dim=-1).cpu()
            for i, ids_T in zip(indices, ids_BT, strict=True):
                texts[i] = processor.decode(ids_T[: num_frames[i]])
    return texts


@dataclass(frozen=True)
class CTCResults:
    """How well fine-tuned models transcribe.

    Args:
        error_rates: `cer` and `wer` of "pretrained" and, if it was compared, "from scratch".
        examples: A few `reference`s, each with the pretrained model's `hypothesis`.
        num_train: Utterances trained on.
        num_without_path: Utterances left out, whose transcript is longer than CTC can write into their frames.
        train_minutes: Their length in all.
        num_test: Utterances tested on.
        num_steps: Optimiser steps.

    Example:
        >>> rates = {"pretrained": {"cer": 0.1, "wer": 0.25}, "from scratch": {"cer": 0.8, "wer": 1.0}}
        >>> print(CTCResults(rates, [{"reference": "ba di", "hypothesis": "ba di"}], 40, 0, 1.5, 20, 500).render())
        Error rates in % on 20 test utterances, after 500 steps on
        1.5 minutes of labels (40 utterances)
        <BLANKLINE>
                               characters     words
        pretrained                   10.0      25.0
        from scratch                 80.0     100.0
        <BLANKLINE>
        reference   ba di
        pretrained  ba di
    """

    error_rates: dict[str, dict[str, float]]
    examples: list[dict[str, str]]
    num_train: int
    num_without_path: int
    train_minutes: float
    num_test: int
    num_steps: int

    def render(self) -> str:
        """Plain text of at most 80 columns."""
        lines = [
            f"Error rates in % on {self.num_test:,} test utterances, after {self.num_steps:,} steps on",
            f"{self.train_minutes:.1f} minutes of labels ({self.num_train:,} utterances)",
            "",
            f"{'':20}{'characters':>13}{'words':>10}",
        ]
        lines += [f"{name:20}{100 * r['cer']:>13.1f}{100 * r['wer']:>10.1f}" for name, r in self.error_rates.items()]
        for example in self.examples:
            texts = ("reference   " + example["reference"], "pretrained  " + example["hypothesis"])
            lines += ["", *(text if len(text) <= 80 else text[:77] + "..." for text in texts)]
        return "\n".join(lines)

    def save(self, folder: str | Path) -> None:
        """Writes ctc_results.json beside a checkpoint."""
        content = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (Path(folder) / RESULTS_NAME).write_text(content + "\n", encoding="utf-8")


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


def finetune_ctc(
    checkpoint: str | Path,
    train: Sequence[Example],
    test: Sequence[Example],
    settings: AudioFinetuneSettings,
    args: CTCTrainingArguments,
    on_progress: OnProgress | None = None,
) -> CTCResults:
    """Fine-tune an encoder of raw audio to transcribe, and save model, processor and results in `args.output_dir`.

    For comparison the same architecture is trained from random weights on the same labels for as many steps; nothing
    of it is frozen, as frozen random convolutions would be a handicap.

    Args:
        checkpoint: A folder or a Hub id with an encoder's weights and its feature extractor.
        train: Utterances: `audio`, a waveform (samples,) at the feature extractor's rate, and `text`.
        test: Utterances to score; all count, the too short ones with an empty transcript.
        settings: Of the model and its comparison; its data are not read.
        args: Of training.
        on_progress: Called as (model, steps done, steps in all).

    Returns:
        The error rates and a few transcripts.

    Raises:
        ValueError: The encoder has no convolutions over raw audio, there is nothing to train on or to test on, or the
            result would overwrite the checkpoint.
    """
    if Path(args.output_dir).resolve() == Path(checkpoint).resolve():
        raise ValueError(f"--output_dir is the pretrained checkpoint, {checkpoint}; give another folder.")
    train, test = (
        [{"audio": row["audio"], "text": normalise_transcript(row["text"], settings.lowercase)} for row in rows]
        for rows in (train, test)
    )
    vocabulary = character_vocabulary(row["text"] for row in train)
    processor = make_processor(vocabulary, load_feature_extractor(checkpoint))
    config = _ctc_config(checkpoint, processor, settings)
    rows = _with_path(encode(train, processor), config)
    references = [row["text"] for row in test]
    rates, examples = {}, []
    for name in ("pretrained", "from scratch")[: 1 + settings.compare_from_scratch]:
        model = _make_model(None if name == "from scratch" else checkpoint, config, settings, args.seed)
        num_steps = _fit(name, model, processor, rows, settings, args, on_progress)
        hypotheses = transcribe(model, processor, [row["audio"] for row in test])
        rates[name] = error_rates(references, hypotheses)
        if name == "pretrained":
            pairs = list(zip(references, hypotheses, strict=True))[:NUM_EXAMPLES]
            examples = [{"reference": reference, "hypothesis": hypothesis} for reference, hypothesis in pairs]
            if args.process_index == 0:
                model.save_pretrained(args.output_dir)
                processor.save_pretrained(args.output_dir)
    minutes = sum(len(row["input_values"]) for row in rows) / processor.feature_extractor.sampling_rate / 60
    results = CTCResults(rates, examples, len(rows), len(train) - len(rows), minutes, len(test), num_steps)
    if args.process_index == 0:
        results.save(args.output_dir)
    return results


def _with_path(rows: list[Example], config: PretrainedConfig) -> list[Example]:
    num_frames = count_frames(config, np.array([len(row["input_values"]) for row in rows]))
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


def _make_model(
    checkpoint: str | Path | None, config: PretrainedConfig, settings: AudioFinetuneSettings, seed: int
) -> PreTrainedModel:
    """With a checkpoint's weights, or with random ones."""
    set_seed(seed)
    if checkpoint is None:
        return AutoModelForCTC.from_config(config)
    # Mismatched sizes: the head of a model that transcribes already writes other characters.
    model = AutoModelForCTC.from_pretrained(checkpoint, config=config, ignore_mismatched_sizes=True)
    if settings.freeze_feature_encoder:
        model.freeze_feature_encoder()
    return model


def _ctc_config(
    checkpoint: str | Path, processor: Wav2Vec2Processor, settings: AudioFinetuneSettings
) -> PretrainedConfig:
    config = AutoConfig.from_pretrained(checkpoint)
    content = config.to_dict()
    if "conv_stride" not in content or content.get("add_adapter"):
        raise ValueError(
            f"{checkpoint} is a {config.model_type!r}, not an encoder of raw audio without an adapter; "
            "give one, such as wav2vec 2.0, HuBERT or WavLM."
        )
    config.update(
        {
            "vocab_size": len(processor.tokenizer),
            "pad_token_id": processor.tokenizer.pad_token_id,  # CTC's blank
            "bos_token_id": None,
            "eos_token_id": None,
            "ctc_loss_reduction": "mean",
            "ctc_zero_infinity": True,
            "layerdrop": 0.0,  # a layer left out has no gradient, which distributed training waits for
            "apply_spec_augment": True,
            "mask_time_prob": settings.mask_time_prob,
            "mask_time_length": settings.mask_time_length,
        }
    )
    return config


def _fit(
    name: str,
    model: PreTrainedModel,
    processor: Wav2Vec2Processor,
    rows: list[Example],
    settings: AudioFinetuneSettings,
    args: CTCTrainingArguments,
    on_progress: OnProgress | None,
) -> int:
    """Trains in place; returns the number of steps."""
    args = copy.copy(args)
    if args.learning_rate is None:
        args.learning_rate = 1e-3 if model.num_parameters() < 20_000_000 else 1e-4
    if args.n_gpu > 1:
        args._n_gpu = 1  # otherwise Trainer wraps the model in DataParallel
    collator = CTCCollator(
        processor,
        model.config,
        mask_time_prob=settings.mask_time_prob,
        mask_time_length=settings.mask_time_length,
        seed=args.seed,
    )
    trainer = Trainer(model, args, data_collator=collator, train_dataset=rows, processing_class=processor)
    # The model takes keyword arguments but divides its loss by no count: without this, Trainer would not divide by
    # the batches of an accumulated step.
    trainer.model_accepts_loss_kwargs = False
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if on_progress:
        trainer.add_callback(_Progress(name, on_progress))
    return trainer.train().global_step


class _Progress(TrainerCallback):
    def __init__(self, name: str, on_progress: OnProgress) -> None:
        self._name, self._on_progress = name, on_progress

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._on_progress(self._name, state.global_step, state.max_steps)
