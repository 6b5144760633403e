"""Masked language modelling (Devlin et al. 2018, https://huggingface.co/papers/1810.04805).

Raw text -> pack_texts -> masks -> any encoder, its head at the masked positions only.

Legend: B batch, T tokens in a sequence, N masked positions, V vocabulary.
"""

import functools
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import IterableDataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_unlab.losses.masked_lm import masked_lm_losses, unigram_entropy
from hf_unlab.modalities.text.masking import masked_positions
from hf_unlab.modalities.text.models import num_embeddings_for
from hf_unlab.modalities.text.reading import pack_texts, text_problem
from hf_unlab.objectives.masked_lm.architecture import (
    document_mask,
    fits_head_at,
    head_at,
    keeps_documents_apart,
    max_sequence_length,
    num_embedded,
    states_at,
)
from hf_unlab.objectives.masked_lm.choosing import STRATEGIES, check_mean, check_strategy
from hf_unlab.objectives.masked_lm.collator import MaskedLMCollator
from hf_unlab.streams.bad_examples import Check
from hf_unlab.streams.blocks import Prepare, Prepared
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.collapse import HealthyBand, cosine_sums
from hf_unlab.training.metrics import Pair, perplexity
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer

logger = logging.getLogger(__name__)


@dataclass
class MaskedLMTrainingArguments(PretrainingArguments):
    """Settings of masked language modelling.

    Defaults that differ from PretrainingArguments: none.
    """

    # Data
    sequence_length: int = field(default=512, metadata={"help": "Tokens in a packed sequence.", "fixed": True})
    max_characters: int = field(default=10_000_000, metadata={"help": "A longer text is skipped as a bad example."})
    separate_documents: bool = field(
        default=True, metadata={"help": "Keep attention inside each document of a packed sequence."}
    )
    # Objective
    mask_probability: float = field(
        default=0.3, metadata={"help": "Share of the tokens to predict in training (ModernBERT: 0.3).", "fixed": True}
    )
    eval_mask_probability: float = field(
        default=0.15, metadata={"help": "The same in evaluation; 0.15 compares with the literature."}
    )
    mask_strategy: str = field(
        default="tokens",
        metadata={
            "help": "What is predicted together: tokens (each by itself), words, or spans of words (SpanBERT).",
            "choices": STRATEGIES,
            "fixed": True,
        },
    )
    mask_span_words: float = field(
        default=3.0,
        metadata={"help": "Mean words of a span, for mask_strategy spans; the longest has 10.", "fixed": True},
    )
    mask_share: float = field(default=0.8, metadata={"help": "Share of the predicted tokens shown as the mask."})
    random_share: float = field(default=0.1, metadata={"help": "Share shown as a random token; the rest is kept."})
    # Collapse
    collapse_max_cosine: float = field(
        default=0.999,
        metadata={"help": "Greatest mean cosine of the states at masked positions; 1 lets all pass but NaN."},
    )
    collapse_max_loss: float | None = field(
        default=None,
        metadata={
            "help": "Greatest loss, in nats; by default ln of the vocabulary, that of a blind guess, and 1. The "
            "unigram entropy makes of a plateau without end a collapse, too."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strategy(self.mask_strategy)
        check_mean(self.mask_span_words)
        if self.mask_strategy != "spans" and self.mask_span_words != type(self).mask_span_words:
            logger.warning(
                "mask_span_words=%s is ignored: mask_strategy is %s, not spans.",
                self.mask_span_words,
                self.mask_strategy,
            )
        if not 0 <= self.collapse_max_cosine <= 1:
            raise ValueError(f"collapse_max_cosine must lie between 0 and 1, not {self.collapse_max_cosine}.")
        if self.collapse_max_loss is not None and not self.collapse_max_loss > 0:
            raise ValueError(
                f"collapse_max_loss must be above 0, not {self.collapse_max_loss}; leave it out for ln of the "
                "vocabulary and 1."
            )


class MaskedLMTrainer(PretrainingTrainer):
    """Pretrain, or go on pretraining, an encoder on raw text.

    The model is any `AutoModelForMaskedLM`, the data any stream with a `text` column. See `PretrainingTrainer`.

    Example:
        >>> import tempfile
        >>> from hf_unlab.testing import tiny_bert, tiny_stream, tiny_texts, tiny_tokenizer
        >>> args = MaskedLMTrainingArguments(tempfile.mkdtemp(), max_steps=2, sequence_length=8, num_readers=1,
        ...     validation_fraction=0.1, disable_tqdm=True)
        >>> stream = tiny_stream(tiny_texts(50))
        >>> trainer = MaskedLMTrainer(tiny_bert(), args, stream, processing_class=tiny_tokenizer())
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    raw_columns = ("text",)
    input_unit = "tokens"
    leading_metrics = ("accuracy", "unigram_entropy")
    args: MaskedLMTrainingArguments
    processing_class: PreTrainedTokenizerBase

    def __init__(self, model: nn.Module, args: MaskedLMTrainingArguments, *positional: Any, **named: Any) -> None:
        super().__init__(model, args, *positional, **named)
        if self.processing_class is None:
            raise ValueError("Masked language modelling needs a tokenizer: pass it as processing_class.")
        longest = max_sequence_length(model)
        if args.sequence_length > longest:
            raise ValueError(
                f"sequence_length={args.sequence_length} is more than the {longest} positions of the model; lower it."
            )
        needed, embedded = num_embeddings_for(self.processing_class), num_embedded(model)
        if needed > embedded:
            raise ValueError(
                f"The tokenizer has ids up to {needed - 1}, and the model embeds {embedded} tokens: give the model's "
                f"own tokenizer, or let it embed more: model.resize_token_embeddings({needed})."
            )
        self._try(model)

    def _try(self, model: nn.Module) -> None:
        """What the architecture can do, at the length and precision of the run."""
        args = self.args
        with self.accelerator.autocast():
            self._narrows = fits_head_at(model, args.sequence_length)
            self._separates = args.separate_documents and keeps_documents_apart(model, args.sequence_length)
        if not self._narrows:
            logger.warning(
                "The head of %s reads more than the encoder's last hidden states: logits are computed at all "
                "positions, which costs memory and time.",
                type(model).__name__,
            )
        if args.separate_documents and not self._separates:
            logger.warning(
                "%s takes no mask of documents: tokens will attend across the documents of a packed sequence "
                "(separate_documents=False says so without this warning).",
                type(model).__name__,
            )

    def make_prepare(self) -> Prepare:
        """Tokenise and pack."""
        args = self.args
        return functools.partial(
            pack_texts,
            tokenizer=self.processing_class,
            length=args.sequence_length,
            seed=args.stream_seed,
        )

    def make_check(self) -> Check:
        """Text, not empty, not absurdly long."""
        return functools.partial(text_problem, max_characters=self.args.max_characters)

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Mask; in evaluation with a share of its own."""
        args = self.args
        return MaskedLMCollator(
            self.processing_class,
            probability=args.eval_mask_probability if evaluation else args.mask_probability,
            mask_share=args.mask_share,
            random_share=args.random_share,
            strategy=args.mask_strategy,
            span_words=args.mask_span_words,
            seed=args.seed,
        )

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Cross entropy and accuracy at the masked positions."""
        core = self.accelerator.unwrap_model(model)
        # found by the collator: on an accelerator the host would wait for their number
        positions_N = batch["positions"] if "positions" in batch else masked_positions(batch["labels"])
        labels_N = batch["labels"].flatten()[positions_N]
        ids_BT = batch["input_ids"]
        # there is no padding; of a mask of ones, transformers would wait to see that it is one
        mask = document_mask(core, batch["document_ids"]) if self._separates else None
        narrowed = head_at(core, positions_N) if self._narrows else nullcontext()
        with narrowed, _watched(core.base_model) as states:  # in this order: what the head gets is watched
            logits = model(input_ids=ids_BT, attention_mask=mask).logits
        logits_NV = logits.squeeze(0) if self._narrows else states_at(logits, positions_N)
        losses_N = masked_lm_losses(logits_NV, labels_N)
        num_correct = (logits_NV.argmax(dim=-1) == labels_N).sum()
        metrics: dict[str, Pair] = {"accuracy": (num_correct, batch["num_items"])}
        if model.training:
            metrics["state_mean_cosine"] = cosine_sums(states[0].flatten(0, -2))
        return ObjectiveOutput(
            {"masked_lm": Term(losses_N.sum(), batch["num_items"])},
            num_inputs=ids_BT.numel(),
            metrics=metrics,
            item_losses=losses_N,
            item_rows=positions_N // batch["labels"].shape[1],
        )

    def collapse_signals(self) -> HealthyBand:
        """The mean cosine of the states that the head reads, and a loss well above that of a blind guess.

        Neither a loss at the unigram entropy nor the same prediction everywhere is a collapse: healthy runs stay there
        for hundreds of steps (a BERT of 12 layers with 98 to 100% of its predictions one token). Their states are not
        equal, though: measured at most 0.91 (tiny.yaml) and 0.990 (12 layers). Models stuck there by too high a rate
        had 0.92 to 0.98: their cosine does not tell them from those that will leave, and `collapse_max_loss` is for
        them.
        """
        args = self.args
        # random weights begin a little above ln V
        most = math.log(num_embedded(self.model)) + 1 if args.collapse_max_loss is None else args.collapse_max_loss
        return HealthyBand(
            {"state_mean_cosine": (None, args.collapse_max_cosine), "loss": (None, most)},
            advice="lower learning_rate or max_grad_norm, or lengthen warmup_steps",
        )

    def derive_metrics(self, metrics: dict[str, float], *, evaluation: bool) -> dict[str, float]:
        """In evaluation add the perplexity, and the unigram entropy that the loss must beat."""
        if not evaluation:
            return metrics
        entropy = self._entropy_held_out if self.evaluated is None else self._unigram_entropy(self.evaluated)
        return {**metrics, "perplexity": perplexity(metrics["loss"]), "unigram_entropy": entropy}

    @functools.cached_property
    def _entropy_held_out(self) -> float:
        return self._unigram_entropy(self.held_out())

    def _unigram_entropy(self, raw: IterableDataset) -> float:
        """Of the tokens, special ones apart, as they are never predicted."""
        prepared = Prepared(raw, self.make_prepare(), self.args.shuffle_block_size)
        tokens = np.concatenate([example["input_ids"] for example in prepared])
        return unigram_entropy(tokens[~np.isin(tokens, self.processing_class.all_special_ids)])


@contextmanager
def _watched(encoder: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Inside, what an encoder hands to its head is noted, without its graph."""
    states: list[torch.Tensor] = []
    handle = encoder.register_forward_hook(lambda _, __, output: states.append(output[0].detach()))
    try:
        yield states
    finally:
        handle.remove()
