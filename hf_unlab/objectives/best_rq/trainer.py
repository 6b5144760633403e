"""BEST-RQ pretraining (Chiu et al. 2022, https://huggingface.co/papers/2202.01855).

Undecoded clips -> measure -> batches of like length -> decode -> log-mel tokens, normalised -> spans of them hidden ->
a conformer tells for each hidden token its code in several random, frozen codebooks.

Legend: B rows, T tokens, D numbers of a token, H features of a state, N hidden tokens, C codebooks of V codes.
"""

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from torch import nn
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertModel

from hf_unlab.losses.best_rq import code_losses, code_use
from hf_unlab.modalities.audio.mel import MelFrontEnd
from hf_unlab.modalities.audio.mel_models import NORMALISATION_KEY, forget_inference
from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments
from hf_unlab.objectives.best_rq.collator import BestRQCollator
from hf_unlab.objectives.best_rq.groups import GroupStatistics
from hf_unlab.objectives.best_rq.quantiser import QuantiserSettings, RandomProjectionQuantiser
from hf_unlab.objectives.clips import ClipTrainer, refuse_layerdrop, refuse_showing_all
from hf_unlab.streams.bad_examples import good_examples
from hf_unlab.streams.drawing import draw_from_all
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.collapse import HealthyBand, cosine_sums
from hf_unlab.training.objective import ObjectiveOutput, Term

logger = logging.getLogger(__name__)


class BestRQPretrainingTrainer(ClipTrainer):
    """Pretrain, or go on pretraining, a `Wav2Vec2BertModel` on clips of sound.

    The data is any stream with an `audio` column, and with `normalise="group"` a `group` column; clips are brought to
    the feature extractor's sampling rate. Seed and sizes of the quantiser are written into the model's config.

    Args:
        model: From `load_mel_model`, or any `Wav2Vec2BertModel`.
        args: Settings.
        *positional: As in `PretrainingTrainer`.
        **named: As in `PretrainingTrainer`; `processing_class` is the model's feature extractor.

    Raises:
        ValueError: As PretrainingTrainer's; or there is no feature extractor, or the model cannot hide tokens.

    Example:
        >>> import tempfile
        >>> from hf_unlab.testing import tiny_clips, tiny_mel_model
        >>> args = BestRQTrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, num_readers=1, max_seconds=1.0, max_batch_seconds=4.0,
        ...     validation_fraction=0.2, disable_tqdm=True)
        >>> model, feature_extractor = tiny_mel_model()
        >>> trainer = BestRQPretrainingTrainer(model, args, tiny_clips(40), processing_class=feature_extractor)
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    metric_lines: ClassVar = {
        "targets": {"perplexity": "target_perplexity", "in use": "target_use"},
        "predictions": {"perplexity": "predicted_perplexity", "cosine of states": "state_mean_cosine"},
    }
    args: BestRQTrainingArguments
    model: Wav2Vec2BertModel
    processing_class: SeamlessM4TFeatureExtractor

    def __init__(
        self, model: Wav2Vec2BertModel, args: BestRQTrainingArguments, *positional: Any, **named: Any
    ) -> None:
        if not isinstance(model, Wav2Vec2BertModel):
            raise ValueError(f"The model must be a Wav2Vec2BertModel, not a {type(model).__name__}.")
        extractor, config = named.get("processing_class"), model.config
        if not isinstance(extractor, SeamlessM4TFeatureExtractor):
            raise ValueError("Pass the model's SeamlessM4TFeatureExtractor as processing_class: it makes the frames.")
        refuse_showing_all(model, config, "tokens")
        refuse_layerdrop(args, config)
        self._front_end = MelFrontEnd.of_extractor(extractor)
        # a span of tokens and one that is shown, and a sample more against roundings of the resampled length
        shortest = self._front_end.num_samples(args.mask_min_tokens + 1) + 1
        self.read_clips(args, self._front_end.sampling_rate_hz, shortest, f"{args.mask_min_tokens} tokens")
        if args.normalise == "group":
            self.raw_columns = (*self.raw_columns, "group")  # type: ignore[misc]
        self._write_config(config, args)
        self._has_warned = False
        super().__init__(forget_inference(model), args, *positional, **named)

    @staticmethod
    def _write_config(config: Any, args: BestRQTrainingArguments) -> None:
        """What a checkpoint says of its targets and its inputs."""
        before, settings = QuantiserSettings.of_config(config), args.quantiser()
        if before not in (None, settings):
            logger.warning(
                "The model was pretrained with %s and goes on with %s: all targets are new to it.", before, settings
            )
        settings.store(config)
        setattr(config, NORMALISATION_KEY, args.normalise)

    # ---- Data ----

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Log-mel tokens, normalised and padded; hide spans."""
        args, is_by_group = self.args, self.args.normalise == "group"
        return BestRQCollator(
            self._front_end,
            "clip" if is_by_group else args.normalise,
            self.auxiliary["groups"].by_key() if is_by_group else {},
            mask_share=args.mask_share,
            mask_min_tokens=args.mask_min_tokens,
            mask_max_tokens=args.mask_max_tokens,
            seed=args.seed,
        )

    # ---- Model ----

    def auxiliary_modules(self) -> dict[str, nn.Module]:
        """The quantiser, the heads of all its codebooks, and the statistics of groups."""
        args, config = self.args, self.model.config
        modules: dict[str, nn.Module] = {
            "quantiser": RandomProjectionQuantiser(config.feature_projection_input_dim, args.quantiser()),
            "heads": nn.Linear(config.hidden_size, args.num_codebooks * args.codebook_size),
        }
        if args.normalise == "group":
            # where nobody knows yet whether the run will be resumed: one that is takes its checkpoint's
            groups = GroupStatistics(args.group_statistics_clips, self._front_end.num_mels)
            groups.measure(self._first_clips())
            modules["groups"] = groups
        return modules

    def _first_clips(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Groups and frames of clips from all over the sources; the same ones on every rank and at every start."""
        drawn = draw_from_all(self.train_dataset, self.args.group_statistics_clips)
        for _, example in good_examples(drawn, self.make_decode()):
            yield example["group"], self._front_end.frames(example["audio"])

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Cross entropy and accuracy of the codes of the hidden tokens."""
        args, hidden_BT, num_hidden = self.args, batch["mask_time_indices"], batch["num_items"]
        inputs_BTD = batch["input_features"]
        codes_NC = self.auxiliary["quantiser"](inputs_BTD[hidden_BT])
        states_BTH = model(
            input_features=inputs_BTD, attention_mask=batch.get("attention_mask"), mask_time_indices=hidden_BT
        ).last_hidden_state
        states_NH = states_BTH[hidden_BT]
        logits_NCV = self.auxiliary["heads"](states_NH).unflatten(-1, (args.num_codebooks, args.codebook_size))
        losses_N = code_losses(logits_NCV, codes_NC)
        predicted_NC = logits_NCV.detach().argmax(dim=-1)
        target_perplexity, target_use = code_use(codes_NC, args.codebook_size)
        predicted_perplexity, _ = code_use(predicted_NC, args.codebook_size)
        metrics = {
            "accuracy": ((predicted_NC == codes_NC).float().mean(dim=1).sum(), num_hidden),
            "target_perplexity": (target_perplexity * num_hidden, num_hidden),
            "target_use": (target_use * num_hidden, num_hidden),
            "predicted_perplexity": (predicted_perplexity * num_hidden, num_hidden),
            "state_mean_cosine": cosine_sums(states_NH.detach()),
            "masked_fraction": (num_hidden, batch["num_tokens"]),
        }
        if model.training:
            num_slots = inputs_BTD.shape[0] * inputs_BTD.shape[1]
            metrics["padding_fraction"] = (num_slots - batch["num_tokens"], num_slots)
        return ObjectiveOutput(
            {"code_loss": Term(losses_N.sum(), num_hidden)},
            num_inputs=batch["num_samples"] / self._front_end.sampling_rate_hz,
            metrics=metrics,
            item_losses=losses_N,
            item_rows=hidden_BT.nonzero()[:, 0],
        )

    # ---- Collapse ----

    def collapse_signals(self) -> HealthyBand:
        """States that are all alike, and targets of which there is hardly more than one.

        What is predicted cannot collapse with its targets, as these are frozen; so the states tell.
        """
        args = self.args
        return HealthyBand(
            {
                "state_mean_cosine": (None, args.collapse_max_cosine),
                "target_perplexity": (args.collapse_min_perplexity * args.codebook_size, None),
            },
            advice="lower learning_rate or lengthen warmup_steps; where the targets are too few, normalise='clip'",
        )

    def on_logged(self, logs: dict[str, float]) -> None:
        """Say it once where there are too few codes to tell apart."""
        found, least = logs.get("target_perplexity"), self.args.collapse_min_perplexity * self.args.codebook_size
        if found is not None and found < least and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Of %d codes about %.1f are used (at least %.1f): most hidden tokens have the same one, so there is "
                "little to learn. Are the clips silent, or do they need another normalise than %r?",
                *(self.args.codebook_size, found, least, self.args.normalise),
            )
