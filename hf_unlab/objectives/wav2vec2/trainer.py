"""wav2vec 2.0 pretraining (Baevski et al. 2020, https://huggingface.co/papers/2006.11477).

Undecoded clips -> measure -> batches of like length -> decode, crop -> hide spans, draw negatives -> contrastive loss
between what the context network predicts for hidden frames and their quantised features.

Legend: B rows, T frames, G codebooks of V codes, N hidden frames.
"""

from typing import Any, ClassVar

from torch import nn
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining

from hf_unlab.losses.wav2vec2 import contrastive_losses, perplexities
from hf_unlab.modalities.audio.models import receptive_field, use_channels_last, watched
from hf_unlab.objectives.clips import ClipTrainer, refuse_layerdrop, refuse_showing_all
from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.collator import Wav2Vec2Collator
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.collapse import HealthyBand
from hf_unlab.training.objective import ObjectiveOutput, Term


class Wav2Vec2PretrainingTrainer(ClipTrainer):
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

    metric_lines: ClassVar = {
        "perplexity": {
            "codes": "code_perplexity",
            "probabilities": "probability_perplexity",
            "temperature": "temperature",
        }
    }
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
        refuse_layerdrop(args, config)
        if config.feat_extract_norm == "group":
            args.per_device_eval_batch_size = 1  # each clip whole and by itself: padding would be seen
        refuse_showing_all(model.wav2vec2, config, "frames")
        if args.channels_last if args.channels_last is not None else args.device.type == "cpu":
            use_channels_last(model)
        # a span of frames, and one more against roundings of the resampled length
        shortest = receptive_field(config) + args.mask_length * config.inputs_to_logits_ratio
        self.read_clips(args, self.processing_class.sampling_rate, shortest, f"{args.mask_length} frames")

    # ---- Data ----

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
        diversity = (self._num_codes - output.codevector_perplexity) / self._num_codes
        penalty = seen.features_BCT.float().square().mean()
        logits_NGV = seen.code_logits[hidden_BT].unflatten(-1, (core.config.num_codevector_groups, -1))
        code_perplexity, probability_perplexity = perplexities(logits_NGV)
        metrics = {
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
            {
                "contrastive_loss": Term(losses_N.sum(), num_hidden),
                "diversity_loss": Term(diversity * num_hidden, num_hidden, weight=args.diversity_weight),
                "feature_penalty": Term(penalty * num_hidden, num_hidden, weight=args.feature_penalty_weight),
            },
            num_inputs=batch["num_samples"] / self.processing_class.sampling_rate,
            metrics=metrics,
            item_losses=losses_N,
            item_rows=hidden_BT.nonzero()[:, 0],
        )

    # ---- Collapse ----

    @property
    def _num_codes(self) -> int:
        config = self.model.config
        return config.num_codevector_groups * config.num_codevectors_per_group

    def collapse_signals(self) -> HealthyBand:
        """Perplexities; the accuracy alone says little, as with few codes in use it is higher."""
        least = self.args.collapse_min_perplexity * self._num_codes
        return HealthyBand(
            {
                "code_perplexity": (least, None),
                "probability_perplexity": (least, None),
                "accuracy": (None, self.args.collapse_max_accuracy),
            },
            advice="raise diversity_weight or feature_grad_scale, lower learning_rate",
        )
