"""wav2vec 2.0 pretraining (Baevski et al. 2020, https://huggingface.co/papers/2006.11477).

Undecoded clips -> measure -> batches of like length -> decode, crop -> hide spans, draw negatives -> contrastive loss
between what the context network predicts for hidden frames and their quantised features.

Legend: B rows, T frames, G codebooks of V codes, N hidden frames.
"""

import functools
import logging
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining
from transformers.trainer_utils import TrainOutput, sort_checkpoints

from hf_unlab.losses.wav2vec2 import contrastive_losses, perplexities
from hf_unlab.modalities.audio.models import receptive_field, use_channels_last, watched
from hf_unlab.modalities.audio.reading import decode_example, measure_example
from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.collator import Wav2Vec2Collator
from hf_unlab.streams.bad_examples import Decode
from hf_unlab.streams.bucketing import Buckets
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training import collapse
from hf_unlab.training.metrics import gather_objects
from hf_unlab.training.objective import ObjectiveOutput
from hf_unlab.training.trainer import PretrainingTrainer

logger = logging.getLogger(__name__)
_MOST_RETURNS = 3  # a model that collapses at an eighth of the learning rate wants other settings


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
        if not isinstance(model, Wav2Vec2ForPreTraining):
            raise ValueError(f"The model must be a Wav2Vec2ForPreTraining, not a {type(model).__name__}.")
        super().__init__(model, args, *positional, **named)
        if not isinstance(self.processing_class, Wav2Vec2FeatureExtractor):
            raise ValueError("Pass the model's Wav2Vec2FeatureExtractor as processing_class: it knows the rate.")
        config = model.config
        if args.world_size > 1 and args.gradient_checkpointing and config.layerdrop:
            raise ValueError(
                "Under gradient checkpointing DDP waits for the layers that layerdrop leaves out on one process and "
                "not on another: set layerdrop=0 in the model's configuration, or gradient_checkpointing=False."
            )
        if config.feat_extract_norm == "group":
            args.per_device_eval_batch_size = 1  # each clip whole and by itself: padding would be seen
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
            do_normalize=self.processing_class.do_normalize,
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
        if any(gather_objects(self._signals.received)):
            return  # the next step stops the run
        found = f"The model has collapsed: {health.problem}, for {health.num_bad_steps} steps."
        good = collapse.last_good_checkpoint(Path(args.output_dir), health.last_good_step)
        target = good if collapse.Returns.load(Path(args.output_dir)).number < _MOST_RETURNS else None
        if args.on_collapse == "stop" or (args.on_collapse == "go_back" and target is None):
            raise collapse.CollapseError(
                f"{found} {f'{good} is the last good checkpoint' if good else 'There is no good checkpoint'}. In a "
                "new output_dir raise diversity_weight or feature_grad_scale, lower learning_rate, or set on_collapse."
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
            if self.args.should_save:
                output_dir = Path(self.args.output_dir)
                rate = collapse.base_rate(self.lr_scheduler) * self.args.collapse_lr_factor
                collapse.Returns(collapse.Returns.load(output_dir).number + 1, rate).save(output_dir)
                collapse.delete_later_checkpoints(Path(resume_from_checkpoint))  # none may be taken for the newest
            self.accelerator.wait_for_everyone()

    def begin_training(self) -> None:
        """As in the base; behind a collapse the learning rate is lower than the checkpoint's."""
        super().begin_training()
        output_dir = Path(self.args.output_dir)
        if not self.state.global_step:  # a new run begins
            if self.args.should_save:
                collapse.forget_returns(output_dir)
            return
        returns = collapse.Returns.load(output_dir)
        if returns.number and returns.base_rate < collapse.base_rate(self.lr_scheduler):
            factor = returns.base_rate / collapse.base_rate(self.lr_scheduler)
            collapse.reduce_learning_rate(self.optimizer, self.lr_scheduler, factor)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As in the base; the last good checkpoint is never rotated away."""
        limit = self.args.save_total_limit
        if limit is not None and not self._may_rotate(limit):
            self.args.save_total_limit = None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit

    def _may_rotate(self, limit: int) -> bool:
        last_good_step = self._health().last_good_step
        good = collapse.last_good_checkpoint(Path(self.args.output_dir), last_good_step)
        others = sort_checkpoints(self.args.output_dir)[-(limit - 1) :] if limit > 1 else []
        return good is None or last_good_step == self.state.global_step or str(good) in others
