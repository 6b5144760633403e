"""Masked language modelling (Devlin et al. 2018, https://huggingface.co/papers/1810.04805).

Raw text -> pack_texts -> mask_tokens -> any encoder, its head at the masked positions only.

Legend: B batch, T tokens in a sequence, N masked positions, V vocabulary.
"""

import functools
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_unlab.losses.masked_lm import masked_lm_losses, unigram_entropy
from hf_unlab.modalities.text.reading import pack_texts, text_problem
from hf_unlab.objectives.masked_lm.collator import IGNORED, MaskedLMCollator
from hf_unlab.streams.bad_examples import Check
from hf_unlab.streams.blocks import Prepare, Prepared
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.arguments import PretrainingArguments
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
    mask_share: float = field(default=0.8, metadata={"help": "Share of the predicted tokens shown as the mask."})
    random_share: float = field(default=0.1, metadata={"help": "Share shown as a random token; the rest is kept."})


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
        self._separates = args.separate_documents and keeps_documents_apart(model)
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
            seed=args.seed,
        )

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Cross entropy and accuracy at the masked positions."""
        core = self.accelerator.unwrap_model(model)
        chosen_BT = batch["labels"] != IGNORED
        labels_N = batch["labels"][chosen_BT]
        mask = document_mask(core, batch["document_ids"]) if self._separates else torch.ones_like(chosen_BT)
        with head_at(core, chosen_BT):
            logits_NV = model(input_ids=batch["input_ids"], attention_mask=mask).logits.squeeze(0)
        losses_N = masked_lm_losses(logits_NV, labels_N)
        num_correct = (logits_NV.argmax(dim=-1) == labels_N).sum()
        return ObjectiveOutput(
            {"masked_lm": Term(losses_N.sum(), batch["num_items"])},
            num_inputs=batch["input_ids"].numel(),
            metrics={"accuracy": (num_correct, batch["num_items"])},
            item_losses=losses_N,
            item_rows=chosen_BT.nonzero()[:, 0],
        )

    def derive_metrics(self, metrics: dict[str, float], *, evaluation: bool) -> dict[str, float]:
        """In evaluation add the perplexity, and the unigram entropy that the loss must beat."""
        if not evaluation:
            return metrics
        return {**metrics, "perplexity": math.exp(metrics["loss"]), "unigram_entropy": self._unigram_entropy}

    @functools.cached_property
    def _unigram_entropy(self) -> float:
        """Of the held-out tokens, special ones apart, as they are never predicted."""
        prepared = Prepared(self.held_out(), self.make_prepare(), self.args.shuffle_block_size)
        tokens = np.concatenate([example["input_ids"] for example in prepared])
        return unigram_entropy(tokens[~np.isin(tokens, self.processing_class.all_special_ids)])


def max_sequence_length(model: nn.Module) -> int:
    """The longest input an encoder has positions for.

    RoBERTa and its kin number positions from behind the padding token's id, which costs them `pad_token_id + 1`.
    """
    positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return positions if padding is None else positions - padding - 1


@contextmanager
def head_at(model: PreTrainedModel, positions_BT: torch.Tensor) -> Iterator[None]:
    """Inside, the encoder's `last_hidden_state` holds the chosen positions alone, (1, N, D), and logits are (1, N, V).

    A forward hook on `model.base_model` does it, so it works for any encoder whose head reads `last_hidden_state`,
    and through the wrapped forward of DDP or FSDP. Losses and gradients equal those of the full head.

    Args:
        model: A model with a language modelling head, unwrapped. Call its wrapper if it has one, without `labels`.
        positions_BT: True where logits are wanted.

    Example:
        >>> from transformers import BertConfig, BertForMaskedLM
        >>> model = BertForMaskedLM(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1,
        ...     num_attention_heads=1, intermediate_size=8)).eval()
        >>> ids, positions = torch.tensor([[1, 2, 3]]), torch.tensor([[False, True, True]])
        >>> with head_at(model, positions):
        ...     logits = model(ids).logits
        >>> logits.shape, torch.allclose(logits[0], model(ids).logits[positions], atol=1e-6)
        (torch.Size([1, 2, 9]), True)
    """

    def keep_positions(_: nn.Module, __: Any, output: Any) -> Any:
        # A tuple where the caller asked for one (return_dict=False), else a ModelOutput.
        if isinstance(output, tuple):
            return (output[0][positions_BT].unsqueeze(0), *output[1:])
        output["last_hidden_state"] = output["last_hidden_state"][positions_BT].unsqueeze(0)
        return output

    encoder = model.base_model
    if encoder is model:
        raise ValueError(f"{type(model).__name__} has no head over a base model; give an AutoModelForMaskedLM.")
    handle = encoder.register_forward_hook(keep_positions)
    try:
        yield
    finally:
        handle.remove()


def document_mask(model: PreTrainedModel, document_ids_BT: torch.Tensor) -> Any:
    """The attention mask under which no token sees another document.

    Args:
        model: An encoder of transformers, unwrapped. Its config says which form of mask it takes.
        document_ids_BT: Which document each token belongs to.

    Returns:
        What to pass as `attention_mask`: a (B, 1, T, T) mask, boolean for SDPA and additive for eager attention, or
        for models with sliding windows a dict of one such mask for each type of layer.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> document_mask(tiny_bert(), torch.tensor([[0, 0, 1]]))[0, 0].int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    same_B1TT = document_ids_BT[:, None, :, None] == document_ids_BT[:, None, None, :]
    layer_types = set(getattr(model.config, "layer_types", None) or [])
    if "sliding_attention" not in layer_types and model.config.model_type != "modernbert":
        return _in_form_of(model, same_B1TT)
    positions_T = torch.arange(document_ids_BT.shape[1], device=document_ids_BT.device)
    near_TT = (positions_T[:, None] - positions_T[None, :]).abs() <= model.config.sliding_window
    return {
        "full_attention": _in_form_of(model, same_B1TT),
        "sliding_attention": _in_form_of(model, same_B1TT & near_TT),
    }


def _in_form_of(model: PreTrainedModel, allowed: torch.Tensor) -> torch.Tensor:
    if model.config._attn_implementation == "eager":  # eager attention adds its mask to the scores
        nothing = torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device)
        return nothing.masked_fill(~allowed, torch.finfo(model.dtype).min)
    return allowed


@torch.no_grad()
def keeps_documents_apart(model: PreTrainedModel) -> bool:
    """Whether `document_mask` works for this model, found out by trying: two documents, one of them changed.

    Args:
        model: An encoder of transformers, unwrapped.

    Returns:
        True if what stands in one document leaves the hidden states of the other exactly as they were.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> keeps_documents_apart(tiny_bert())
        True
    """
    device = model.get_input_embeddings().weight.device
    vocab_size = model.config.vocab_size
    ids_BT = torch.arange(16, device=device)[None] % vocab_size
    changed_BT = torch.cat([ids_BT[:, :8], (ids_BT[:, 8:] + 1) % vocab_size], dim=1)
    documents_BT = torch.arange(16, device=device)[None] // 8
    was_training = model.training
    model.eval()
    try:
        hidden = [
            model.base_model(input_ids=ids, attention_mask=document_mask(model, documents_BT)).last_hidden_state
            for ids in (ids_BT, changed_BT)
        ]
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False  # the model cannot take such a mask at all
    finally:
        model.train(was_training)
    return torch.allclose(hidden[0][:, :8], hidden[1][:, :8], atol=1e-5)
