"""Fine-tuning a speech encoder to transcribe, on minutes of labels: CTC over characters, greedy decoding, CER and WER.

Graves et al. 2006 (https://www.cs.toronto.edu/~graves/icml_2006.pdf), as wav2vec 2.0 is fine-tuned
(https://huggingface.co/papers/2006.11477). Letters: B batch, T frames, V vocabulary.
"""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCTC,
    PretrainedConfig,
    PreTrainedModel,
    TrainingArguments,
    Wav2Vec2Processor,
    set_seed,
)

from hf_unlab.evaluation.measures.transcripts import error_rates
from hf_unlab.modalities.audio.encoder import AudioEncoder, MelEncoder, load_encoder
from hf_unlab.modalities.audio.models import frames_of
from hf_unlab.modalities.running import evaluating
from hf_unlab.modalities.weights import load_weights
from hf_unlab.objectives.wav2vec2.ctc_data import (
    CTCCollator,
    character_vocabulary,
    encode,
    make_processor,
    normalise_transcript,
    with_path,
)
from hf_unlab.objectives.wav2vec2.transcribed_audio import TranscribedAudioSettings
from hf_unlab.streams.bad_examples import Example
from hf_unlab.training.finetuning import FinetuningTrainer, refuse_overwriting

RESULTS_NAME = "ctc_results.json"
NUM_EXAMPLES = 3
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


def transcribe(model: PreTrainedModel, processor: Wav2Vec2Processor, waveforms: Sequence[np.ndarray]) -> list[str]:
    """The likeliest character of each frame, repeats merged, then blanks left out; empty for a clip of no frame.

    A clip's transcript does not depend on the others': see `AudioEncoder`.

    Args:
        model: A CTC model; it is left as it was found.
        processor: Its processor.
        waveforms: (samples,) each, at the processor's rate.
    """
    texts = [""] * len(waveforms)
    lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
    num_frames = frames_of(lengths, model.config.conv_kernel, model.config.conv_stride)
    heard = np.flatnonzero(num_frames)
    if not len(heard):
        return texts
    encoder, clips = AudioEncoder(model.config, processor.feature_extractor), [waveforms[i] for i in heard]
    with evaluating(model), torch.inference_mode():
        for indices, batch in encoder.batches(clips):
            inputs = {
                name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
                for name, tensor in batch.items()
            }
            ids_BT = model(**inputs).logits.argmax(dim=-1).cpu()
            for i, ids_T in zip(heard[indices], ids_BT, strict=True):
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


def finetune_ctc(
    checkpoint: str | Path,
    train: Sequence[Example],
    test: Sequence[Example],
    settings: TranscribedAudioSettings,
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
    refuse_overwriting(checkpoint, args.output_dir)
    train, test = (
        [{"audio": row["audio"], "text": normalise_transcript(row["text"], settings.lowercase)} for row in rows]
        for rows in (train, test)
    )
    vocabulary = character_vocabulary(row["text"] for row in train)
    encoder = load_encoder(checkpoint)
    if isinstance(encoder, MelEncoder):
        raise ValueError(
            f"{checkpoint} reads log-mel frames, and transcripts are learnt here by models of raw audio alone: give a "
            "wav2vec 2.0, or fine-tune it by transformers' AutoModelForCTC."
        )
    processor = make_processor(vocabulary, encoder.processor)
    config = _ctc_config(encoder.config, processor, settings)
    rows = with_path(encode(train, processor), config)
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


def _make_model(
    checkpoint: str | Path | None, config: PretrainedConfig, settings: TranscribedAudioSettings, seed: int
) -> PreTrainedModel:
    """With a checkpoint's weights, or with random ones."""
    set_seed(seed)
    if checkpoint is None:
        return AutoModelForCTC.from_config(config)
    # fresh: the head of a model that transcribes already writes other characters
    model = load_weights(AutoModelForCTC, checkpoint, head="fresh", config=config)
    if settings.freeze_feature_encoder:
        model.freeze_feature_encoder()
    return model


def _ctc_config(
    config: PretrainedConfig, processor: Wav2Vec2Processor, settings: TranscribedAudioSettings
) -> PretrainedConfig:
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
    settings: TranscribedAudioSettings,
    args: CTCTrainingArguments,
    on_progress: OnProgress | None,
) -> int:
    """Trains in place; returns the number of steps."""
    args = copy.copy(args)
    if args.learning_rate is None:
        args.learning_rate = 1e-3 if model.num_parameters() < 20_000_000 else 1e-4
    collator = CTCCollator(
        processor,
        model.config,
        mask_time_prob=settings.mask_time_prob,
        mask_time_length=settings.mask_time_length,
        seed=args.seed,
    )
    trainer = FinetuningTrainer(
        model,
        args,
        data_collator=collator,
        train_dataset=rows,
        processing_class=processor,
        on_step=(lambda step: on_progress(name, step, trainer.state.max_steps)) if on_progress else None,
    )
    return trainer.train().global_step
