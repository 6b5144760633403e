"""Fine-tuning a text classifier on a handful of labels, as a candidate of the proof table."""

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from hf_unlab.few_labels.draws import Candidate
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.protocol import count_labels, steps_of_fit
from hf_unlab.modalities.text.encoder import batches_by_length, pad, truncated_ids, usable_length

ModelMaker = Callable[[int, int], PreTrainedModel]
TEST_BATCH_SIZE = 64


def from_checkpoint(path: str | os.PathLike[str]) -> ModelMaker:
    """Makes classifiers from a checkpoint's weights; only the head is new, drawn from the seed.

    Args:
        path: A folder or a Hub id that `AutoModelForSequenceClassification` loads.

    Returns:
        A function from (num_labels, seed) to a model.

    Example:
        >>> make_model = from_checkpoint("out/checkpoint")
        >>> make_model(3, 0).num_labels  # doctest: +SKIP
        3
    """

    def make(num_labels: int, seed: int) -> PreTrainedModel:
        torch.manual_seed(seed)
        return AutoModelForSequenceClassification.from_pretrained(path, num_labels=num_labels)

    return make


def from_scratch(config: PretrainedConfig) -> ModelMaker:
    """Makes classifiers of the same architecture with random weights, drawn from the seed.

    Args:
        config: The architecture; it is copied, not changed.

    Returns:
        A function from (num_labels, seed) to a model.

    Example:
        >>> from transformers import BertConfig
        >>> make_model = from_scratch(BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=1))
        >>> make_model(3, 0).num_labels
        3
    """

    def make(num_labels: int, seed: int) -> PreTrainedModel:
        torch.manual_seed(seed)
        own_config = type(config).from_dict({**config.to_dict(), "num_labels": num_labels})
        return AutoModelForSequenceClassification.from_config(own_config)

    return make


def finetune_text_classifier(
    name: str,
    make_model: ModelMaker,
    tokenizer: PreTrainedTokenizerBase,
    pool_texts: Sequence[str],
    pool_labels: np.ndarray,
    test_texts: Sequence[str],
    *,
    method: str = "fine-tuned",
    max_length: int = 128,
    num_steps: int | None = None,
    batch_size: int = 16,
    learning_rate: float = 5e-4,
    weight_decay: float = 0.01,
    use_cpu: bool = False,
) -> Candidate:
    """Fine-tunes all weights on each draw with a plain `transformers.Trainer`, and predicts the test set.

    The number of steps is fixed beforehand and the same for every model, the learning rate rises over a tenth of them
    and falls linearly, and nothing is chosen on the test set. Nothing is printed, and nothing is written outside a
    temporary folder. It may be called on one process of a distributed run: see `alone_and_quiet`.

    Args:
        name: First column of the table.
        make_model: From (num_labels, seed) to a fresh classifier: `from_checkpoint(path)`, `from_scratch(config)`.
        tokenizer: The models' tokenizer.
        pool_texts: N texts.
        pool_labels: Class indices from 0, (N,); the largest sets the number of classes.
        test_texts: The test set.
        method: Second column of the table.
        max_length: Tokens kept of each text.
        num_steps: Optimiser steps a fit; None takes 15 passes over the draw, but at least 30 and at most 100 steps.
        batch_size: Texts a step.
        learning_rate: Its peak. The default suits models of a few layers trained for minutes; a model of BERT's size
            wants about 5e-5.
        weight_decay: As in AdamW.
        use_cpu: Stay on the CPU even if there is a GPU.

    Returns:
        A candidate for `few_label_table`.

    Raises:
        ValueError: There are not as many labels as texts, a label is negative, or a count or rate is not positive.

    Example:
        >>> candidate = finetune_text_classifier(
        ...     "pretrained", from_checkpoint("out/checkpoint"), tokenizer, texts, labels, test_texts
        ... )  # doctest: +SKIP
        >>> candidate.predict(draw_few(labels, 5, seed=0), 0)  # doctest: +SKIP
    """
    pool_labels = np.asarray(pool_labels)
    num_labels = count_labels(
        name,
        pool_labels,
        len(pool_texts),
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    tokens: dict[int, tuple[list[list[int]], list[list[int]]]] = {}  # by length; tokenised once, not once a fit

    def predict(train_indices: np.ndarray, seed: int) -> np.ndarray:
        steps = num_steps or steps_of_fit(len(train_indices), batch_size)
        with alone_and_quiet(), tempfile.TemporaryDirectory() as folder:
            model = make_model(num_labels, seed)
            length = usable_length(model, tokenizer, max_length)
            if length not in tokens:
                tokens[length] = (
                    truncated_ids(tokenizer, pool_texts, length),
                    truncated_ids(tokenizer, test_texts, length),
                )
            pool_ids, test_ids = tokens[length]
            train_data = [{"input_ids": pool_ids[i], "labels": int(pool_labels[i])} for i in train_indices]
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                warmup_steps=max(1, steps // 10),
                lr_scheduler_type="linear",
                seed=seed,
                use_cpu=use_cpu,
                bf16=False,
                fp16=False,
                remove_unused_columns=False,
                dataloader_pin_memory=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            )
            _train(model, arguments, train_data, tokenizer.pad_token_id)
            return _predict_classes(model, test_ids, tokenizer.pad_token_id)

    return Candidate(name, method, predict)


def _train(
    model: PreTrainedModel, arguments: TrainingArguments, data: list[dict[str, Any]], pad_token_id: int | None
) -> None:
    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad([row["input_ids"] for row in rows], pad_token_id)
        return {**batch, "labels": torch.tensor([row["labels"] for row in rows])}

    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # otherwise Trainer wraps the model in DataParallel, which is slower for a few texts
    model.config.problem_type = "single_label_classification"  # one class would otherwise mean regression
    if model.config.pad_token_id is None:
        model.config.pad_token_id = pad_token_id
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=data)
    trainer.remove_callback(PrinterCallback)  # what disable_tqdm puts in the progress bar's place; it prints
    trainer.train()


def _predict_classes(model: PreTrainedModel, token_ids: list[list[int]], pad_token_id: int | None) -> np.ndarray:
    """The likeliest class of each text, (N,); class 0 for a text without any token."""
    classes = np.zeros(len(token_ids), dtype=np.int64)
    model.eval()
    with torch.inference_mode():
        for indices in batches_by_length(token_ids, TEST_BATCH_SIZE):
            batch = pad([token_ids[i] for i in indices], pad_token_id, model.device)
            classes[indices] = model(**batch).logits.argmax(dim=-1).cpu().numpy()
    return classes
