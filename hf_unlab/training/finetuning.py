"""Fine-tuning on labels: one Trainer for classifiers on a few labels and for transcribers on minutes of them."""

import contextlib
import copy
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hf_unlab.evaluation.features import over_batches
from hf_unlab.modalities.modality import Encoder
from hf_unlab.training.alone import alone_and_quiet, old_objects_spared
from hf_unlab.training.labelled_rows import Augment, LabelledRows, parts_of
from hf_unlab.training.rates import groups_of
from hf_unlab.training.until_down import OnStep, StopWhenDown, TellSteps, UntilDown


class FinetuningTrainer(Trainer):
    """A Trainer that prints nothing, and whose step may be gone through in parts.

    A collator that returns a list of batches gets their gradients added up, each part's graph gone before the next is
    made: the memory is that of a part. Such a batch holds `labels` (B,) and `weight`, its share of the step, and the
    loss is cross-entropy on the model's logits. Any other batch is for a model that computes its loss by itself, as a
    mean. Parameters of one dimension (biases, norms) are not decayed. Batch normalisation with frozen weights
    keeps its running statistics: an adapter is saved without them.

    Args:
        model: What is trained: all parameters that require gradients.
        args: Settings; of several GPUs in one process one is used.
        *positional: As in Trainer.
        on_step: Called behind each step with the steps done.
        rates: The peak rate of each parameter, by name; by default `args.learning_rate` for all.
        watch: Plans the rate and ends the run, in place of `args.lr_scheduler_type`.
        label_smoothing: Of the cross-entropy of parts; Trainer's own asks models for a `config`.
        **named: As in Trainer.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        args: TrainingArguments,
        *positional: Any,
        on_step: OnStep | None = None,
        rates: Mapping[str, float] | None = None,
        watch: UntilDown | None = None,
        label_smoothing: float = 0.0,
        **named: Any,
    ) -> None:
        if args.n_gpu > 1:
            args = copy.copy(args)
            args._n_gpu = 1  # otherwise Trainer wraps the model in DataParallel
        super().__init__(model, args, *positional, **named)
        # Models take keyword arguments but divide their loss by no count: without this, Trainer would not divide by
        # the batches of an accumulated step.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)  # what disable_tqdm puts in the progress bar's place; it prints
        self.remove_callback(ProgressCallback)
        if on_step is not None:
            self.add_callback(TellSteps(on_step))
        if watch is not None:
            self.add_callback(StopWhenDown(watch))
        self._rates, self._watch, self._smoothing = rates, watch, label_smoothing
        norms = [part for part in model.modules() if isinstance(part, _BatchNorm) and part.affine]
        self._frozen = [norm for norm in norms if not norm.weight.requires_grad]

    def training_step(self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """As in Trainer, part by part."""
        if not isinstance(inputs, list):
            return super().training_step(model, inputs, num_items_in_batch)
        losses = [super(FinetuningTrainer, self).training_step(model, part) for part in inputs]
        loss = torch.stack(losses).sum() if losses else torch.zeros((), device=self.args.device)
        if self._watch is not None:
            self._watch.record(float(loss))
        return loss

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *positional: Any, **named: Any) -> Any:
        """As in Trainer, or of a part its share of the cross-entropy."""
        for norm in self._frozen:  # behind Trainer's own `model.train()`
            norm.eval()
        if "weight" not in inputs:
            return super().compute_loss(model, inputs, *positional, **named)
        batch = {name: value for name, value in inputs.items() if name not in ("weight", "labels")}
        loss = cross_entropy(model(**batch).logits, inputs["labels"], label_smoothing=self._smoothing)
        return loss * inputs["weight"]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As in Trainer, or with a rate of its own for each parameter."""
        if self._rates is None:
            return super().create_optimizer(model)
        kind, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        self.optimizer = kind(groups_of(self.model, self._rates, self.args.weight_decay), **settings)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """As in Trainer, or as the watch plans it."""
        if self._watch is None:
            return super().create_scheduler(num_training_steps, optimizer)
        self.lr_scheduler = LambdaLR(self.optimizer, self._watch.factor)
        return self.lr_scheduler

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Matrices and kernels."""
        return [name for name, parameter in model.named_parameters() if parameter.ndim >= 2]

    def floating_point_ops(self, inputs: Any) -> int:
        """Nobody asks for them of parts."""
        return 0 if isinstance(inputs, list) else super().floating_point_ops(inputs)


def finetune_classifier(
    classifier: torch.nn.Module,
    encoder: Encoder,
    inputs: Sequence[Any],
    labels_M: np.ndarray,
    *,
    num_steps: int,
    batch_size: int = 16,
    learning_rate: float = 5e-4,
    weight_decay: float = 0.01,
    seed: int = 0,
    on_step: OnStep | None = None,
    rates: Mapping[str, float] | None = None,
    label_smoothing: float = 0.0,
    loss_target: float | None = None,
    augment: Augment | None = None,
) -> int:
    """Trains a classifier in place, where it lies, as the only process, without a word.

    AdamW; the rate rises over a tenth of the steps and falls linearly; gradients are clipped at norm 1.

    Args:
        classifier: As `encoder.classifier` makes it; parameters that require no gradient stay as they are.
        encoder: Makes its batches: a step is gone through in as many parts as the encoder makes of it.
        inputs: M inputs.
        labels_M: Class indices, (M,).
        num_steps: Optimiser steps; with a `loss_target` the most of them.
        batch_size: Examples a step, or all if there are fewer.
        learning_rate: Its peak.
        weight_decay: On matrices and kernels.
        seed: Decides the order of the examples, and dropout.
        on_step: Called behind each step with the steps done.
        rates: The peak rate of each parameter, by name, in place of `learning_rate`.
        label_smoothing: As in `cross_entropy`.
        loss_target: The fit ends soon after the training loss is below; see `UntilDown`.
        augment: As in `LabelledRows`.

    Returns:
        The steps done.

    Example:
        >>> classifier = encoder.classifier(num_classes=2, seed=0)  # doctest: +SKIP
        >>> finetune_classifier(classifier, encoder, texts, labels, num_steps=30)  # doctest: +SKIP
    """
    batch_size = min(batch_size, len(inputs))
    rows = LabelledRows(encoder, inputs, labels_M, num_steps * batch_size, seed, augment)
    watch = None if loss_target is None else UntilDown(loss_target, num_steps)
    # what augmentation makes of an input may touch other weights
    narrowed = encoder.narrowed(classifier, inputs) if augment is None else contextlib.nullcontext()
    with alone_and_quiet(), old_objects_spared(), tempfile.TemporaryDirectory() as folder, narrowed:
        args = TrainingArguments(
            output_dir=folder,
            max_steps=num_steps,
            per_device_train_batch_size=batch_size,
            train_sampling_strategy="sequential",
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_steps=max(1, num_steps // 10),
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            seed=seed,
            use_cpu=next(classifier.parameters()).device.type == "cpu",
            bf16=False,
            fp16=False,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = FinetuningTrainer(
            classifier,
            args,
            data_collator=partial(parts_of, encoder),
            train_dataset=rows,
            on_step=on_step,
            rates=rates,
            watch=watch,
            label_smoothing=label_smoothing,
        )
        trainer.train()
        return trainer.state.global_step


def predict_classes(classifier: torch.nn.Module, encoder: Encoder, inputs: Sequence[Any]) -> np.ndarray:
    """The likeliest class of each input, (N,); class 0 where there is nothing to read.

    Args:
        classifier: As `encoder.classifier` makes it; it is left as it was found.
        encoder: Makes its batches.
        inputs: As `embed` takes them.

    Raises:
        ValueError: As `embed`'s.
    """
    return over_batches(encoder, classifier, lambda batch: classifier(**batch).logits, inputs).argmax(1)


def refuse_overwriting(checkpoint: str | Path, output_dir: str | Path) -> None:
    """A pretrained checkpoint is not to be lost to what is fine-tuned from it.

    Raises:
        ValueError: The two are the same folder.

    Example:
        >>> refuse_overwriting("pretrained", "./pretrained")
        Traceback (most recent call last):
        ValueError: --output_dir is the pretrained checkpoint, pretrained; give another folder.
    """
    if Path(output_dir).resolve() == Path(checkpoint).resolve():
        raise ValueError(f"--output_dir is the pretrained checkpoint, {checkpoint}; give another folder.")
