"""wav2vec 2.0 pretraining (Baevski et al. 2020, https://huggingface.co/papers/2006.11477).

Undecoded clips -> measure -> batches of like length -> decode, crop -> hide spans, draw negatives -> contrastive loss
between what the context network predicts for hidden frames and their quantised features.

Legend: B rows, T frames, G codebooks of V codes, N hidden frames.
"""

import functools
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining
from transformers.trainer_utils import TrainOutput

from hf_unlab.data.audio import decode_example, measure_example
from hf_unlab.data.bad_examples import Decode
from hf_unlab.data.bucketing import Buckets
from hf_unlab.data.collators import Wav2Vec2Collator
from hf_unlab.data.loader import Batch, Collator
from hf_unlab.losses.wav2vec2 import contrastive_losses, perplexities
from hf_unlab.models.audio import receptive_field, use_channels_last, watched
from hf_unlab.trainers import collapse
from hf_unlab.trainers.arguments import PretrainingArguments
from hf_unlab.trainers.base import PretrainingTrainer
from hf_unlab.trainers.objective import ObjectiveOutput

logger = logging.getLogger(__name__)

_MOST_RETURNS = 3  # a model that collapses at an eighth of the learning rate wants other settings


@dataclass
class Wav2Vec2TrainingArguments(PretrainingArguments):
    """Settings of wav2vec 2.0 pretraining; the defaults are the paper's BASE, in fairseq's recipe.

    Defaults that differ from PretrainingArguments: `per_device_train_batch_size` 256, which is only the most clips of
    a batch, as batches are cut by seconds; `shuffle_block_size` 200, as a block of encoded clips is held in memory.
    """

    # Data
    min_seconds: float = field(
        default=0.0,
        metadata={"help": "Shorter clips are skipped as bad examples; a clip needs a span of frames in any case."},
    )
    max_seconds: float = field(
        default=15.6, metadata={"help": "Of longer clips a part is taken, each time another one."}
    )
    max_batch_seconds: float = field(
        default=87.5, metadata={"help": "Seconds of a process's micro-batch, padding included."}
    )
    bucket_num_batches: int = field(
        default=16, metadata={"help": "Batches' worth of clips that are sorted by length together."}
    )
    # Objective
    mask_probability: float = field(
        default=0.65, metadata={"help": "Share of the frames that would be hidden if no spans overlapped."}
    )
    mask_length: int = field(default=10, metadata={"help": "Frames of a hidden span."})
    num_negatives: int = field(default=100, metadata={"help": "Negatives of each hidden frame."})
    diversity_weight: float = field(default=0.1, metadata={"help": "Weight of the diversity loss of the codes."})
    feature_penalty_weight: float = field(
        default=10.0, metadata={"help": "Weight of the mean square of the extracted features."}
    )
    feature_grad_scale: float = field(
        default=0.1, metadata={"help": "The gradient into the feature extractor is multiplied by it."}
    )
    gumbel_temperature_start: float = field(default=2.0, metadata={"help": "Temperature of the codes at step 0."})
    gumbel_temperature_end: float = field(default=0.5, metadata={"help": "It does not fall below."})
    gumbel_temperature_decay: float = field(default=0.999995, metadata={"help": "Its factor from step to step."})
    # Collapse
    on_collapse: str = field(
        default="stop",
        metadata={
            "help": "Once perplexity or accuracy were outside their band for collapse_patience_steps: continue (it is "
            "only said), reduce_lr, go_back (to the last good checkpoint, with the rate reduced), or stop.",
            "choices": collapse.ACTIONS,
        },
    )
    collapse_min_perplexity: float = field(
        default=0.1, metadata={"help": "Least perplexity, of codes and of probabilities, as a share of all codes."}
    )
    collapse_max_accuracy: float = field(default=0.98, metadata={"help": "Greatest contrastive accuracy."})
    collapse_patience_steps: int = field(default=1000, metadata={"help": "Steps outside, behind the warm-up."})
    collapse_lr_factor: float = field(default=0.5, metadata={"help": "What reduce_lr and go_back multiply by."})
    # Speed
    channels_last: bool | None = field(
        default=None, metadata={"help": "Convolve as matrix products, channels last; by default on CPUs."}
    )
    # PretrainingArguments' own, with other defaults
    per_device_train_batch_size: int = field(default=256, metadata={"help": "The most clips in a micro-batch."})
    shuffle_block_size: int = field(default=200, metadata={"help": "Clips of a reader that are permuted together."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.min_seconds < self.max_seconds <= self.max_batch_seconds:
            raise ValueError(
                "Clips need 0 <= min_seconds < max_seconds <= max_batch_seconds, not "
                f"{self.min_seconds}, {self.max_seconds} and {self.max_batch_seconds}."
            )
        if self.on_collapse not in collapse.ACTIONS:
            raise ValueError(f"on_collapse must be one of {', '.join(collapse.ACTIONS)}, not {self.on_collapse!r}.")
        for name in ("diversity_weight", "feature_penalty_weight", "feature_grad_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}.")
        for name in ("collapse_min_perplexity", "collapse_max_accuracy", "collapse_lr_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}.")
        for name in ("bucket_num_batches", "collapse_patience_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 < self.gumbel_temperature_end <= self.gumbel_temperature_start:
            raise ValueError(
                "The temperature must fall to an end above 0, not from "
                f"{self.gumbel_temperature_start} to {self.gumbel_temperature_end}."
            )

    def gumbel_temperature(self, step: int) -> float:
        """The temperature of a step: a function of its number alone, so that it resumes.

        Example:
            >>> args = Wav2Vec2TrainingArguments("out", gumbel_temperature_decay=0.99, use_cpu=True)
            >>> args.gumbel_temperature(0), args.gumbel_temperature(1), args.gumbel_temperature(1000)
            (2.0, 1.98, 0.5)
        """
        return max(self.gumbel_temperature_start * self.gumbel_temperature_decay**step, self.gumbel_temperature_end)


class Wav2Vec2PretrainingTrainer(PretrainingTrainer):
    """Pretrain, or go on pretraining, a `Wav2Vec2ForPreTraining` on clips of sound.

    The data is any stream with an `audio` column; clips are brought to the feature extractor's sampling rate.

    Args:
        model: From `load_audio_model`, or any `Wav2Vec2ForPreTraining`.
        args: Settings.
        *positional: As in `PretrainingTrainer`.
        **named: As in `PretrainingTrainer`; `processing_class` is the model's feature extractor.

    Raises:
        ValueError: As PretrainingTrainer's; or there is no feature extractor, or the model cannot hide frames.

    Example:
        >>> import tempfile
        >>> from hf_unlab.testing import tiny_clips, tiny_wav2vec2
        >>> args = Wav2Vec2TrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, num_readers=1, max_seconds=1.0, max_batch_seconds=4.0,
        ...     validation_fraction=0.2, disable_tqdm=True)
        >>> model, feature_extractor = tiny_wav2vec2()
        >>> trainer = Wav2Vec2PretrainingTrainer(model, args, tiny_clips(40), processing_class=feature_extractor)
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    raw_columns = ("audio",)
    input_unit = "audio_seconds"
    fixed_settings = (
        *PretrainingTrainer.fixed_settings,
        *("min_seconds", "max_seconds", "max_batch_seconds", "bucket_num_batches", "mask_probability", "mask_length"),
    )
    args: Wav2Vec2TrainingArguments
    model: Wav2Vec2ForPreTraining
    processing_class: Wav2Vec2FeatureExtractor

    def __init__(
        self, model: Wav2Vec2ForPreTraining, args: Wav2Vec2TrainingArguments, *positional: Any, **named: Any
    ) -> None:
        super().__init__(model, args, *positional, **named)
        if self.processing_class is None:
            raise ValueError("Pass the model's feature extractor as processing_class: it knows the sampling rate.")
        config = model.config
        if not config.apply_spec_augment or not hasattr(model.wav2vec2, "masked_spec_embed"):
            raise ValueError(
                "The model hides no frames: pretraining needs apply_spec_augment=True and mask_time_prob above 0 in "
                "its configuration."
            )
        if args.channels_last if args.channels_last is not None else args.device.type == "cpu":
            use_channels_last(model)
        # a span of frames, and one more against roundings of the resampled length
        shortest = receptive_field(config) + args.mask_length * config.inputs_to_logits_ratio
        self._min_seconds = max(args.min_seconds, shortest / self.processing_class.sampling_rate)
        if self._min_seconds > args.max_seconds:
            raise ValueError(
                f"A hidden span of {args.mask_length} frames takes {self._min_seconds:.3g} seconds, more than "
                f"max_seconds={args.max_seconds}."
            )
        num_codes = config.num_codevector_groups * config.num_codevectors_per_group
        self._band = collapse.HealthyBand(num_codes, args.collapse_min_perplexity, args.collapse_max_accuracy)
        self._num_returns = 0
        self._returned_rate: float | None = None  # to be set once the checkpoint is loaded

    # ---- Data ----

    def make_buckets(self) -> Buckets:
        """By seconds."""
        args = self.args
        measure = functools.partial(measure_example, min_seconds=self._min_seconds, max_seconds=args.max_seconds)
        most_clips = args.per_device_train_batch_size
        return Buckets(measure, "seconds", args.max_batch_seconds, most_clips, args.bucket_num_batches)

    def make_decode(self) -> Decode:
        """To a waveform of the model's rate, or a bad example."""
        return functools.partial(
            decode_example,
            sampling_rate_hz=self.processing_class.sampling_rate,
            min_seconds=self._min_seconds,
            max_seconds=self.args.max_seconds,
        )

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Normalise and pad; hide spans, draw negatives."""
        config = self.model.config
        return Wav2Vec2Collator(
            tuple(config.conv_kernel),
            tuple(config.conv_stride),
            mask_probability=self.args.mask_probability,
            mask_length=self.args.mask_length,
            num_negatives=self.args.num_negatives,
            crop_to_shortest=config.feat_extract_norm == "group",
            seed=self.args.seed,
        )

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Contrastive loss of the hidden frames, diversity of the codes, and penalty of large features."""
        args, core = self.args, self.accelerator.unwrap_model(model)
        temperature = args.gumbel_temperature(self.state.global_step)
        core.set_gumbel_temperature(temperature)
        hidden_BT, num_hidden = batch["mask_time_indices"], batch["num_items"]
        with watched(core, args.feature_grad_scale) as seen:
            output = model(
                input_values=batch["input_values"],
                attention_mask=batch.get("attention_mask"),
                mask_time_indices=hidden_BT,
            )
        losses_N, is_right_N = contrastive_losses(
            output.projected_states,
            output.projected_quantized_states,
            hidden_BT,
            batch["sampled_negative_indices"],
            core.config.contrastive_logits_temperature,
        )
        diversity = (self._band.num_codes - output.codevector_perplexity) / self._band.num_codes
        penalty = seen.features_BCT.float().square().mean()
        regularisation = args.diversity_weight * diversity + args.feature_penalty_weight * penalty
        logits_NGV = seen.code_logits[hidden_BT].unflatten(-1, (core.config.num_codevector_groups, -1))
        code_perplexity, probability_perplexity = perplexities(logits_NGV)
        metrics = {
            "contrastive_loss": (losses_N.sum(), num_hidden),
            "diversity_loss": (diversity * num_hidden, num_hidden),
            "feature_penalty": (penalty * num_hidden, num_hidden),
            "accuracy": (is_right_N.sum(), num_hidden),
            "code_perplexity": (code_perplexity * num_hidden, num_hidden),
            "probability_perplexity": (probability_perplexity * num_hidden, num_hidden),
            "masked_fraction": (num_hidden, batch["num_frames"]),
        }
        if model.training:
            num_samples = batch["input_values"].numel()
            metrics["padding_fraction"] = (num_samples - batch["num_samples"], num_samples)
            metrics["temperature"] = (temperature, 1)
        return ObjectiveOutput(
            loss_sum=losses_N.sum() + regularisation * num_hidden,
            num_items=num_hidden,
            num_inputs=batch["num_samples"] / self.processing_class.sampling_rate,
            metrics=metrics,
            item_losses=losses_N,
            item_rows=hidden_BT.nonzero()[:, 0],
        )

    # ---- Collapse ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As in the base; then looks whether the codebook has collapsed, and does what `on_collapse` says."""
        is_training = "loss" in logs
        super().log(logs, start_time)
        if is_training:
            self._act_on(self._health())

    def _health(self) -> collapse.Health:
        args = self.args
        return collapse.health(self.state.log_history, self._band, args.get_warmup_steps(args.max_steps))

    def _act_on(self, health: collapse.Health) -> None:
        args = self.args
        if health.num_bad_steps < args.collapse_patience_steps:
            return
        found = f"The model has collapsed: {health.problem}, for {health.num_bad_steps} steps."
        good = collapse.last_good_checkpoint(Path(args.output_dir), health.last_good_step)
        target = good if self._num_returns < _MOST_RETURNS else None
        if args.on_collapse == "stop" or (args.on_collapse == "go_back" and target is None):
            raise collapse.CollapseError(
                f"{found} {f'{good} is the last good checkpoint' if good else 'There is no good checkpoint'}. Raise "
                "diversity_weight or feature_grad_scale, lower learning_rate, or set on_collapse."
            )
        self.state.log_history[-1][collapse.ACTED] = 1.0
        if args.on_collapse == "go_back" and target:
            logger.warning("%s Going back to %s with %g of the learning rate.", found, target, args.collapse_lr_factor)
            raise collapse.GoBack(target)
        if args.on_collapse == "reduce_lr":
            collapse.reduce_learning_rate(self.optimizer, self.lr_scheduler, args.collapse_lr_factor)
            found += f" The learning rate goes on at {args.collapse_lr_factor:g} of its schedule."
        logger.warning(found)

    def train(self, resume_from_checkpoint: str | bool | None = None, *positional: Any, **named: Any) -> TrainOutput:
        """As in the base; a model that has collapsed may go back to an earlier checkpoint."""
        while True:
            try:
                return super().train(resume_from_checkpoint, *positional, **named)
            except collapse.GoBack as collapsed:
                resume_from_checkpoint = str(collapsed.checkpoint)
            self._num_returns += 1
            self._returned_rate = collapse.base_rate(self.lr_scheduler) * self.args.collapse_lr_factor
            if self.args.should_save:
                collapse.delete_later_checkpoints(Path(resume_from_checkpoint))  # none may be taken for the newest
            self.accelerator.wait_for_everyone()

    def begin_training(self) -> None:
        """As in the base; behind a collapse the learning rate is lower than the checkpoint's."""
        super().begin_training()
        if self._returned_rate is not None:
            factor = self._returned_rate / collapse.base_rate(self.lr_scheduler)
            collapse.reduce_learning_rate(self.optimizer, self.lr_scheduler, factor)
            self._returned_rate = None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As in the base; while something is wrong the good checkpoints are all kept."""
        limit = self.args.save_total_limit
        if self._health().problem:
            self.args.save_total_limit = None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
