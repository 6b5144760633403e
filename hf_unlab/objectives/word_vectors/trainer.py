"""Word vectors: a table that is learnt from which words stand near one another.

Text -> token ids -> near words -> table and context matrix -> skip-gram with negative sampling, or GloVe.

The table is the model, the `StaticModel` that is published; the context matrix and GloVe's biases are auxiliary.

GloVe here reads a stream: what occurs together is counted in each micro-batch, and NOT in the corpus, whose counts the
paper has beforehand. A score is thus fitted to the mean logarithm of a pair's count in the micro-batches in which it
occurs at all; that it is absent from others is never seen. The larger they are, the nearer that is to the paper's.

Legend: R rows, T tokens of a row, K negatives of a row, L tokens, U different words of a micro-batch, N pairs, D
features, V tokens of the vocabulary.
"""

import functools
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from hf_unlab.losses.word_vectors import glove_losses, pair_products, skip_gram_loss
from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.objectives.word_vectors.arguments import WordVectorsTrainingArguments
from hf_unlab.objectives.word_vectors.collators import CooccurrenceCollator, SkipGramCollator
from hf_unlab.objectives.word_vectors.reading import TokeniseTexts, WordCounts, count_words
from hf_unlab.streams.bad_examples import Check
from hf_unlab.streams.blocks import Prepare
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.collapse import HealthyBand, cosine_sums
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer

_MOST_MEASURED = 1024  # vectors that the mean cosine is of


class WordVectorsTrainer(PretrainingTrainer):
    """Learn, or go on learning, a table of word vectors by what stands near each word.

    Args:
        model: A `StaticModel`, with its tokenizer; saved as sentence-transformers has it.
        args: Settings; `objective` says by which loss.
        *positional: As in `PretrainingTrainer`.
        **named: As in `PretrainingTrainer`.

    Raises:
        ValueError: As PretrainingTrainer's; or the model is no table.

    Example:
        >>> import tempfile
        >>> from hf_unlab.testing import tiny_static_model, tiny_stream, tiny_texts
        >>> args = WordVectorsTrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, num_readers=1, per_device_train_batch_size=8,
        ...     validation_fraction=0.2, disable_tqdm=True)
        >>> trainer = WordVectorsTrainer(tiny_static_model(), args, tiny_stream(tiny_texts(50)))
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    raw_columns: ClassVar[tuple[str, ...]] = ("text",)
    input_unit = "tokens"
    leading_metrics = ("mean_cosine",)
    args: WordVectorsTrainingArguments
    model: StaticModel

    def __init__(self, model: StaticModel, args: WordVectorsTrainingArguments, *positional: Any, **named: Any) -> None:
        if not isinstance(model, StaticModel):
            raise ValueError(
                f"The model is a {type(model).__name__}; word vectors are a table: a StaticModel, of model=static or "
                "the checkpoint of one. A transformer learns by masked_lm or text_contrastive."
            )
        self._tokenise = TokeniseTexts(model.tokens)
        super().__init__(model, args, *positional, **named)

    # ---- Data ----

    def make_check(self) -> Check:
        """Text, not empty, not absurdly long."""
        return functools.partial(text_problem, max_characters=self.args.max_characters)

    def make_prepare(self) -> Prepare:
        """Tokenise; what was tokenised is remembered."""
        return self._tokenise

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Draw pairs and negatives, or count; in evaluation the same ones every time."""
        args = self.args
        if args.objective == "glove":
            return CooccurrenceCollator(args.window, args.max_document_tokens, args.seed)
        return SkipGramCollator(
            self.auxiliary["word_counts"].counts.cpu().numpy(),
            args.window,
            args.num_negatives,
            args.negative_power,
            args.subsampling_threshold,
            args.max_document_tokens,
            args.seed,
        )

    # ---- Model ----

    def auxiliary_modules(self) -> dict[str, nn.Module]:
        """Contexts, GloVe's biases (of a word, and as a context), and the counts that skip-gram draws by.

        Counts are taken from the first texts here, where nobody knows yet whether the run will be resumed: one that is
        reads and counts them again, and then takes its checkpoint's. Both objectives have all of them, so that a
        checkpoint of the other one is refused by its name, and not by what it lacks.
        """
        (vocab_size, width), args = self.model.embedding.weight.shape, self.args
        context, counts_V = torch.zeros(vocab_size, width), np.zeros(vocab_size)  # as word2vec's begins
        if args.objective == "glove":
            context = torch.randn(vocab_size, width) * 0.1  # as the table
        else:
            how = (args.num_counted_examples, vocab_size, self._tokenise, self.make_check())
            counts_V = count_words(self.train_dataset, *how)
        return {
            "context": nn.Embedding.from_pretrained(context, freeze=False),
            "biases": nn.Embedding.from_pretrained(torch.zeros(vocab_size, 2), freeze=False),
            "word_counts": WordCounts(counts_V),
        }

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """The loss of the pairs of a micro-batch."""
        ids_L = batch["input_ids"].flatten()
        # a text of one token is that token's vector; by the model's own forward, which DDP may wrap
        vectors_LD = model(ids_L, torch.arange(len(ids_L), device=ids_L.device)).features_BD
        loss_sum = self._glove(vectors_LD, batch) if "counts" in batch else self._skip_gram(vectors_LD, batch)
        num_tokens = batch["num_tokens"]
        # padding, all of it behind the tokens, is no word
        measured_LD = vectors_LD.detach()[: min(int(num_tokens), _MOST_MEASURED)]
        term = Term(loss_sum, batch["num_items"])
        return ObjectiveOutput({self.args.objective: term}, num_tokens, {"mean_cosine": cosine_sums(measured_LD)})

    def _skip_gram(self, vectors_LD: torch.Tensor, batch: Batch) -> torch.Tensor:
        ids_RT, context = batch["input_ids"], self.auxiliary["context"]
        centre_RTD = vectors_LD.unflatten(0, ids_RT.shape)
        return skip_gram_loss(centre_RTD, context(ids_RT), context(batch["negative_ids"]), batch["pairs"])

    def _glove(self, vectors_UD: torch.Tensor, batch: Batch) -> torch.Tensor:
        ids_U, rows_N, columns_N = batch["input_ids"], batch["rows"], batch["columns"]
        context_UD, bias_U2 = self.auxiliary["context"](ids_U), self.auxiliary["biases"](ids_U)
        scores_N = pair_products(vectors_UD, context_UD, rows_N, columns_N)
        scores_N = scores_N + bias_U2[:, 0][rows_N] + bias_U2[:, 1][columns_N]
        how = {"saturation": self.args.glove_saturation, "power": self.args.glove_power}
        return glove_losses(scores_N, batch["counts"], **how).sum()

    def collapse_signals(self) -> HealthyBand:
        """The mean cosine of words: where all are equal, nothing tells them apart."""
        return HealthyBand(
            {"mean_cosine": (None, self.args.collapse_max_cosine)}, advice="lower learning_rate or raise num_negatives"
        )
