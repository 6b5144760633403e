"""Image-text contrastive pretraining: CLIP (Radford et al. 2021, https://huggingface.co/papers/2103.00020) and SigLIP
(Zhai et al. 2023, https://huggingface.co/papers/2303.15343), at any batch size.

Undecoded image, captions -> decode -> crop, draw a caption -> both towers -> features of all ranks -> loss.

The pairs of a whole step, over all micro-batches and ranks, are one batch of the loss. A step of one micro-batch goes
straight through; one of several is gradient-cached (Gao et al. 2021, https://huggingface.co/papers/2101.06983), which
gives the same gradients at the memory of one micro-batch. So fewer GPUs mean more micro-batches, not another loss.

Legend: B pairs of a micro-batch, D features, N pairs of this rank's step.
"""

import functools
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.measures.retrieval import retrieval_metrics, zero_shot_accuracy
from hf_unlab.losses.contrastive import (
    GatheredFeatures,
    clamp_logit_scale_,
    contrastive_accuracy,
)
from hf_unlab.losses.distributed import gather_features
from hf_unlab.losses.gradient_cache import CachedBatch, Features
from hf_unlab.modalities.image.reading import EvalTransform, TrainTransform, decode_example
from hf_unlab.modalities.image_text.dual_encoder import DualEncoder, DualEncoderOutput, has_batch_norm
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.modalities.image_text.reading import caption_problem
from hf_unlab.objectives.image_text.arguments import LOSSES, ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.collator import ImageTextCollator
from hf_unlab.streams.bad_examples import Check, Decode
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.collapse import HealthyBand, cosine_sums
from hf_unlab.training.metrics import Pair
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer

logger = logging.getLogger(__name__)


class ImageTextContrastiveTrainer(PretrainingTrainer):
    """Pretrain, or go on pretraining, a dual encoder on pairs of images and captions.

    The data is any stream with an `image` column and a `text` column, which holds a caption or a list of them.

    Args:
        model: From `load_dual_encoder`; saved as its library saves it.
        args: Settings.
        *positional: As in `PretrainingTrainer`.
        zero_shot: Labelled images; their zero-shot accuracy is measured at each evaluation.
        **named: As in `PretrainingTrainer`.

    Raises:
        ValueError: As PretrainingTrainer's; or the model has BatchNorm and a step several micro-batches, or the loss
            wants a bias that the model has not.

    Example:
        >>> import tempfile
        >>> from hf_unlab.testing import tiny_dual_encoder, tiny_pairs
        >>> args = ImageTextContrastiveTrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, num_readers=2, per_device_train_batch_size=4,
        ...     gradient_accumulation_steps=2, validation_fraction=0.2, disable_tqdm=True)
        >>> trainer = ImageTextContrastiveTrainer(tiny_dual_encoder(), args, tiny_pairs(60))
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    raw_columns = ("image", "text")
    file_columns = ("image",)
    input_unit = "pairs"
    needs_distinct_examples = True
    leading_metrics = ("accuracy", "mean_recall", "zero_shot_accuracy")
    metric_lines: ClassVar = {
        "image to text": {f"R@{k}": f"image_to_text_R@{k}" for k in (1, 5, 10)},
        "text to image": {f"R@{k}": f"text_to_image_R@{k}" for k in (1, 5, 10)},
        "effective rank": {
            "image": "image_effective_rank",
            "text": "text_effective_rank",
            "logit scale": "logit_scale",
        },
    }
    args: ImageTextContrastiveTrainingArguments
    model: DualEncoder

    def __init__(
        self,
        model: DualEncoder,
        args: ImageTextContrastiveTrainingArguments,
        *positional: Any,
        zero_shot: LabelledData | None = None,
        **named: Any,
    ) -> None:
        if args.loss == "sigmoid" and model.logit_bias is None:
            raise ValueError(
                "The sigmoid loss needs a bias, and this model has none: take a SigLIP, or a model of open_clip with "
                "logit_bias=-10."
            )
        super().__init__(model, args, *positional, **named)
        if self.is_fsdp_enabled:
            raise ValueError("FSDP shards no scalar parameters, such as a logit scale: run this objective on DDP.")
        self.check_step(args.gradient_accumulation_steps)
        # a SigLIP begins above CLIP's bound
        self._max_logit_scale = max(args.max_logit_scale, model.log_logit_scale.exp().item())
        self._zero_shot = zero_shot

    def check_step(self, num_micro_batches: int) -> None:
        """Under gradient caching each micro-batch would be normalised by itself.

        Raises:
            ValueError: Some module normalises over the batch, and a step has several micro-batches.
        """
        if not has_batch_norm(self.model):
            return
        if num_micro_batches > 1:
            raise ValueError(
                "The model has BatchNorm, under which the pairs of a batch depend on one another: a step cannot be "
                "made of several micro-batches. Take gradient_accumulation_steps=1 (and go on with as many processes "
                "as before), or a model with LayerNorm or GroupNorm."
            )
        if self.args.world_size > 1:
            logger.warning("The model has BatchNorm: each process normalises by its own pairs alone.")

    def is_decayed(self, name: str, parameter: nn.Parameter) -> bool:
        """Matrices and kernels are: no gain of any norm, bias or logit scale."""
        return parameter.ndim >= 2

    # ---- Data ----

    def make_check(self) -> Check:
        """A caption at least; the image is looked at when it is decoded."""
        return caption_problem

    def make_decode(self) -> Decode:
        """To RGB, or a bad example."""
        return functools.partial(decode_example, max_pixels=self.args.max_image_pixels)

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Crop, normalise and stack the images; draw and tokenise the captions."""
        args, preprocessing = self.args, self.model.preprocessing
        transform: TrainTransform | EvalTransform = preprocessing.eval_transform()
        if not evaluation:
            least, greatest = args.crop_scale
            transform = preprocessing.train_transform((least, greatest), args.flip_probability)
        return ImageTextCollator(transform, self.model.tokenize, args.seed)

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """The contrastive loss of this rank's pairs, which are a whole step or held out."""
        features = _encode(model, batch)
        if not model.training:
            kept = (*(each.float().cpu() for each in features[:2]), batch["caption_ids"].cpu())
            return self._output(batch, self._loss(*features), kept=kept)
        gathered = gather_features(features[0], features[1])
        loss_sum = self._loss(*features, gathered=gathered)
        if features[3] is not None:
            loss_sum = loss_sum + 0 * features[3]  # InfoNCE does not read it, and DDP waits for its gradient
        return self._output(batch, loss_sum, self._metrics(features, gathered))

    def joint_step(self, model: nn.Module, batches: list[Batch]) -> Iterator[ObjectiveOutput] | None:
        """Several micro-batches are one batch of the loss: what each of them contributes to it."""
        return self._cached_step(model, batches) if len(batches) > 1 else None

    def _cached_step(self, model: nn.Module, batches: list[Batch]) -> Iterator[ObjectiveOutput]:
        def encode(batch: Batch) -> Features:
            return _encode(model, self._prepare_inputs(batch))

        cached = CachedBatch(encode, batches, self._loss, gather_features)
        metrics = self._metrics(cached.features, cached.gathered)
        for batch in batches:
            yield self._output(batch, cached.next_loss(), metrics)
            metrics = {}  # they are the whole step's

    def _output(
        self, batch: Batch, loss_sum: torch.Tensor, metrics: dict[str, Pair] | None = None, kept: Any = None
    ) -> ObjectiveOutput:
        terms = {"contrastive": Term(loss_sum, batch["num_items"])}
        return ObjectiveOutput(terms, len(batch["pixel_values"]), metrics or {}, kept=kept)

    def _loss(
        self,
        image_ND: torch.Tensor,
        text_ND: torch.Tensor,
        logit_scale: torch.Tensor,
        logit_bias: torch.Tensor | None,
        gathered: GatheredFeatures | None = None,
    ) -> torch.Tensor:
        num_columns, chunk_size = len(image_ND if gathered is None else gathered.query_ND), self.args.loss_chunk_size
        # chunks are computed twice; there is no use in that for a single one
        in_chunks = chunk_size if num_columns > chunk_size else None
        return LOSSES[self.args.loss](image_ND, text_ND, logit_scale, logit_bias, gathered, in_chunks)

    def _metrics(self, features: Features, gathered: GatheredFeatures | None) -> dict[str, Pair]:
        image_ND, text_ND, logit_scale, _ = features
        num_correct = contrastive_accuracy(image_ND, text_ND, gathered, self.args.loss_chunk_size)
        # of all ranks: in a few pairs of one rank, equal captions would weigh much
        all_image_ND, all_text_ND = (image_ND, text_ND) if gathered is None else (gathered.query_ND, gathered.key_ND)
        return {
            "accuracy": num_correct,
            "logit_scale": (logit_scale, 1),
            "image_mean_cosine": cosine_sums(all_image_ND),
            "text_mean_cosine": cosine_sums(all_text_ND),
        }

    def collapse_signals(self) -> HealthyBand:
        """Both towers' mean cosine: where all features of one are equal, nothing tells the pairs apart.

        The loss does not show it, as ln N is also where a healthy run begins. Random towers map everything into a
        cone: measured 0.80 to 0.96 at first, and 0.998 of images of one colour; healthy runs leave it behind the
        warm-up (tiny.yaml: 0.90 at step 40, 0.03 at 300), while one that had collapsed, by a rate of 0.5, stayed at
        0.99993. One without a warm-up was at 0.9999 and came back within twenty steps, which is less than the
        patience. A logit scale at its bound is no collapse.
        """
        most = self.args.collapse_max_cosine
        return HealthyBand(
            {"image_mean_cosine": (None, most), "text_mean_cosine": (None, most)},
            advice="lower learning_rate, lengthen warmup_steps or raise the batch size",
        )

    # ---- Evaluation ----

    def finish_evaluation(self, kept: list[Any]) -> dict[str, float]:
        """Recall@1, 5 and 10 of all held-out pairs, their spread, and zero-shot accuracy.

        `mean_recall` is the mean of the six recalls; equal captions count as one.
        """
        image_ND, text_ND, ids_N = (torch.cat(each) for each in zip(*kept, strict=True))
        metrics = retrieval_metrics(image_ND, text_ND, ids_N.tolist())
        if self._zero_shot is not None:
            metrics["zero_shot_accuracy"] = self._zero_shot_accuracy(self._zero_shot)
        return metrics | {"logit_scale": self._core.log_logit_scale.exp().item()}

    def _zero_shot_accuracy(self, data: LabelledData) -> float:
        """Measured by every rank for itself."""
        encoder = ImageTextEncoder(lambda: self._core, batch_size=self.args.per_device_eval_batch_size)
        with self.accelerator.autocast():
            image_ND = features_of(encoder, data.inputs, "projection")
            class_CD = encoder.class_features(data.label_names, self.args.zero_shot_templates)
        return zero_shot_accuracy(image_ND, class_CD.cpu(), data.labels)

    # ---- The model ----

    @property
    def _core(self) -> DualEncoder:
        return self.accelerator.unwrap_model(self.model)

    def after_optimizer_step(self, step: int) -> None:
        """Nothing else keeps the temperature from falling to 0."""
        clamp_logit_scale_(self._core.log_logit_scale, self._max_logit_scale)


def _encode(model: nn.Module, batch: Batch) -> DualEncoderOutput:
    names = ("pixel_values", "input_ids", "attention_mask")
    return model(**{name: batch[name] for name in names if name in batch})
