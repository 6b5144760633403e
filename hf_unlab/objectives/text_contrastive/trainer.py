"""Contrastive pretraining on texts: two views of a document find one another among the views of all others.

Text -> token ids -> two views -> model -> features of all ranks -> InfoNCE.

The documents of a whole step, over all micro-batches and ranks, are one batch of the loss; a step of several
micro-batches is gradient-cached (Gao et al. 2021, https://huggingface.co/papers/2101.06983), which gives the same
gradients. No document is told from itself or its copy, however often a batch holds it.

With `masked_lm_weight` the views are masked, and the same forward that makes their features predicts what was there.

Legend: B documents of a micro-batch, N of this rank's step, M of all ranks', D features, K contents of an example, W
masked tokens, V vocabulary.
"""

import functools
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hf_unlab.losses.contrastive import GatheredFeatures, Strangers, contrastive_accuracy, info_nce_loss
from hf_unlab.losses.distributed import gather_with_gradients, rank_of
from hf_unlab.losses.gradient_cache import CachedBatch, Features
from hf_unlab.losses.masked_lm import masked_lm_losses
from hf_unlab.modalities.text.masking import token_masks
from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.modalities.text.sentence_models import SentenceModel, TransformerModel
from hf_unlab.objectives.text_contrastive.arguments import TextContrastiveTrainingArguments
from hf_unlab.objectives.text_contrastive.collator import PAIR, TEXT, TRIPLET, TokeniseDocuments, ViewCollator
from hf_unlab.streams.bad_examples import Check, Example
from hf_unlab.streams.blocks import Prepare
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.collapse import HealthyBand, cosine_sums
from hf_unlab.training.metrics import Pair
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer


class TextContrastiveTrainer(PretrainingTrainer):
    """Pretrain, or go on pretraining, a model that makes one vector of a text.

    The data is any stream with a `text` column, of which views are drawn; or with the columns `anchor` and
    `positive`, and perhaps `negative`, that are the views.

    Args:
        model: From `load_sentence_model`; saved as sentence-transformers has it.
        args: Settings.
        *positional: As in `PretrainingTrainer`.
        columns: ("text",), ("anchor", "positive") or ("anchor", "positive", "negative").
        **named: As in `PretrainingTrainer`.

    Raises:
        ValueError: As PretrainingTrainer's; or the model has no such number of features, or no head for
            `masked_lm_weight`.

    Example:
        >>> import tempfile
        >>> from hf_unlab.testing import tiny_static_model, tiny_stream, tiny_texts
        >>> args = TextContrastiveTrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, num_readers=1, per_device_train_batch_size=8, max_view_tokens=8,
        ...     validation_fraction=0.2, disable_tqdm=True)
        >>> trainer = TextContrastiveTrainer(tiny_static_model(), args, tiny_stream(tiny_texts(50)))
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    raw_columns: ClassVar[tuple[str, ...]] = TEXT
    input_unit = "documents"
    leading_metrics = ("accuracy", "contrastive_accuracy")
    args: TextContrastiveTrainingArguments
    model: SentenceModel

    def __init__(
        self,
        model: SentenceModel,
        args: TextContrastiveTrainingArguments,
        *positional: Any,
        columns: tuple[str, ...] = TEXT,
        **named: Any,
    ) -> None:
        if columns not in (TEXT, PAIR, TRIPLET):
            raise ValueError(f"columns are {columns}; they must be {TEXT}, {PAIR} or {TRIPLET}.")
        self.raw_columns = columns  # type: ignore[misc]  # of this run
        if args.masked_lm_weight:
            self.units = (*type(self).units, "masked")  # type: ignore[misc]
            if not model.has_head:
                raise ValueError(
                    f"masked_lm_weight={args.masked_lm_weight} needs a transformer with the head of a masked language "
                    f"model, and this {type(model).__name__} has none: load it by load_sentence_model(name, "
                    "with_head=True), name being a preset or a checkpoint such as a BERT's, or leave the weight at 0."
                )
        super().__init__(model, args, *positional, **named)
        too_many = [size for size in args.matryoshka_dims if size > model.num_features]
        if too_many:
            raise ValueError(f"matryoshka_dims has {too_many[0]}, and the model has {model.num_features} features.")

    def is_decayed(self, name: str, parameter: nn.Parameter) -> bool:
        """Matrices are: no gain of any norm or bias."""
        return parameter.ndim >= 2

    # ---- Data ----

    def make_check(self) -> Check:
        """Text in every column, not empty, not absurdly long."""
        return functools.partial(_problem, columns=self.raw_columns, max_characters=self.args.max_characters)

    def make_prepare(self) -> Prepare:
        """Tokenise; what was tokenised is remembered."""
        return TokeniseDocuments(self._core.tokens, self.raw_columns)

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Draw views; in evaluation the same ones every time."""
        args, core = self.args, self._core
        masks = None
        if args.masked_lm_weight:
            assert isinstance(core, TransformerModel)  # nothing else has a head
            masks = token_masks(core.tokenizer, args.mask_probability)
        return ViewCollator(core.tokens, tuple(args.views), args.max_view_tokens, args.seed, masks)

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """The contrastive loss of this rank's documents, which are a whole step or held out."""
        features, masked_lm = self._encode(model, batch)
        if not model.training:
            kept = tuple(each.float().cpu() for each in features[:2])
            loss_sum = self._loss(*features, ids=(batch["content_ids"],) * 2)
            return self._output(batch, loss_sum, masked_lm, kept=kept)
        ids = self._all_ids([batch])
        gathered = _gather(features[0], features[1])
        loss_sum = self._loss(*features, gathered=gathered, ids=ids)
        return self._output(batch, loss_sum, masked_lm, self._metrics(features, gathered))

    def joint_step(self, model: nn.Module, batches: list[Batch]) -> Iterator[ObjectiveOutput] | None:
        """Several micro-batches are one batch of the loss: what each of them contributes to it."""
        return self._cached_step(model, batches) if len(batches) > 1 else None

    def _cached_step(self, model: nn.Module, batches: list[Batch]) -> Iterator[ObjectiveOutput]:
        masked_lm: torch.Tensor | None = None

        def encode(batch: Batch) -> Features:
            nonlocal masked_lm
            # the first pass has no graph, and asks for features alone; the head comes behind all that they draw
            is_second = torch.is_grad_enabled()
            features, masked_lm = self._encode(model, self._prepare_inputs(batch), with_masked_lm=is_second)
            return features

        loss = functools.partial(self._loss, ids=self._all_ids(batches))
        cached = CachedBatch(encode, batches, loss, _gather)
        metrics = self._metrics(cached.features, cached.gathered)
        for batch in batches:
            loss_sum = cached.next_loss()
            yield self._output(batch, loss_sum, masked_lm, metrics)
            metrics = {}  # they are the whole step's

    def _encode(
        self, model: nn.Module, batch: Batch, *, with_masked_lm: bool = True
    ) -> tuple[Features, torch.Tensor | None]:
        """First views (B, D); second views and hard negatives side by side, (B, D or 2 D); the inverse temperature.

        And the loss of the masked tokens, summed, where there are such and they are asked for.
        """
        inputs = {name: value for name, value in batch.items() if name in _INPUTS}
        positions_W = batch.get("positions") if with_masked_lm else None
        if positions_W is not None:
            inputs["positions"] = positions_W
        features, logits_WV = model(**inputs)
        features = features.float()
        first_BD, *others = features.chunk(len(features) // len(batch["content_ids"]))
        scale = features.new_tensor(1 / self.args.temperature)
        masked_lm = None
        if positions_W is not None:
            masked_lm = masked_lm_losses(logits_WV, batch["labels"].flatten()[positions_W]).sum()
        return (first_BD, torch.cat(others, dim=1), scale, None), masked_lm

    def _all_ids(self, batches: list[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
        """What this rank's documents are, and those of all ranks."""
        ids_NK = torch.cat([batch["content_ids"] for batch in batches]).to(self.args.device)
        return ids_NK, gather_with_gradients(ids_NK)

    def _loss(
        self,
        first_ND: torch.Tensor,
        others_NE: torch.Tensor,
        logit_scale: torch.Tensor,
        logit_bias: torch.Tensor | None,
        gathered: GatheredFeatures | None = None,
        *,
        ids: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Summed over the documents; the mean over the numbers of features where there are several."""
        args, width = self.args, first_ND.shape[1]
        columns = gathered or GatheredFeatures(first_ND, others_NE)
        # chunks are computed twice; there is no use in that for a single one
        chunk_size = args.loss_chunk_size if len(columns.query_ND) > args.loss_chunk_size else None
        (own_NK, all_NK), num_pairs = ids, 2  # what of an example are contents of its pair; the rest are negatives'
        strangers = Strangers(own_NK[:, :num_pairs], all_NK[:, :num_pairs], args.false_negative_margin)
        losses = []
        for size in sorted({*args.matryoshka_dims, width}):
            negatives = columns.key_ND[:, width : width + size]
            loss = info_nce_loss(
                _unit(first_ND[:, :size]),
                _unit(others_NE[:, :size]),
                logit_scale,
                gathered=GatheredFeatures(
                    _unit(columns.query_ND[:, :size]), _unit(columns.key_ND[:, :size]), columns.offset
                ),
                chunk_size=chunk_size,
                is_symmetric=args.is_symmetric,
                strangers=strangers,
                negative_MD=_unit(negatives) if negatives.shape[1] else None,
                negative_id_MK=all_NK[:, num_pairs:],
            )
            losses.append(loss)
        return torch.stack(losses).mean()

    def _output(
        self,
        batch: Batch,
        loss_sum: torch.Tensor,
        masked_lm: torch.Tensor | None,
        metrics: dict[str, Pair] | None = None,
        kept: Any = None,
    ) -> ObjectiveOutput:
        terms = {"contrastive": Term(loss_sum, batch["num_items"])}
        if masked_lm is not None:
            terms["masked_lm"] = Term(masked_lm, batch["num_masked"], "masked", self.args.masked_lm_weight)
        return ObjectiveOutput(terms, len(batch["content_ids"]), metrics or {}, kept=kept)

    def _metrics(self, features: Features, gathered: GatheredFeatures | None) -> dict[str, Pair]:
        first_ND, others_NE, _, _ = features
        width = first_ND.shape[1]
        columns = gathered or GatheredFeatures(first_ND, others_NE)
        everything = GatheredFeatures(_unit(columns.query_ND), _unit(columns.key_ND[:, :width]), columns.offset)
        own = _unit(first_ND), _unit(others_NE[:, :width])
        found = contrastive_accuracy(*own, everything, self.args.loss_chunk_size)
        return {"accuracy": found, "mean_cosine": cosine_sums(everything.query_ND)}

    def collapse_signals(self) -> HealthyBand:
        """The mean cosine of the documents: where all of them are equal, nothing tells them apart."""
        return HealthyBand(
            {"mean_cosine": (None, self.args.collapse_max_cosine)},
            advice="lower learning_rate, lengthen warmup_steps or raise the batch size",
        )

    # ---- Evaluation ----

    def finish_evaluation(self, kept: list[Any]) -> dict[str, float]:
        """How many of all held-out documents find their own second view first, and the reverse."""
        first_ND, others_NE = (torch.cat(each) for each in zip(*kept, strict=True))
        pairs = _unit(first_ND), _unit(others_NE[:, : first_ND.shape[1]])
        num_right, num_asked = contrastive_accuracy(*pairs, chunk_size=self.args.loss_chunk_size)
        return {"contrastive_accuracy": num_right.item() / num_asked}

    @property
    def _core(self) -> SentenceModel:
        return self.accelerator.unwrap_model(self.model)


_INPUTS = ("input_ids", "offsets", "attention_mask")


def _unit(features_ND: torch.Tensor) -> torch.Tensor:
    # the mean of rows of zeros, as a distilled table has for unknown words, would get a gradient of 1 / eps
    return F.normalize(features_ND, dim=1, eps=1e-3)


def _gather(first_ND: torch.Tensor, others_NE: torch.Tensor) -> GatheredFeatures:
    """The features of all ranks: as `gather_features`, for keys of another width."""
    both_MD = gather_with_gradients(torch.cat([first_ND, others_NE], dim=1))
    query_MD, key_ME = both_MD.split([first_ND.shape[1], others_NE.shape[1]], dim=1)
    return GatheredFeatures(query_MD, key_ME, offset=rank_of() * len(first_ND))


def _problem(example: Example, *, columns: tuple[str, ...], max_characters: int) -> str | None:
    """Why an example cannot be learnt from, by the first column that says so."""
    problems = (text_problem(example, column=column, max_characters=max_characters) for column in columns)
    return next((problem for problem in problems if problem), None)
