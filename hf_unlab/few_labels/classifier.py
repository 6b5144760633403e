"""A classifier to keep: fine-tuned from a checkpoint on all labels or a few, measured, and saved.

How much pretraining is worth with how many labels is another question, which `prove` answers in a table.
"""

import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from transformers import TrainingArguments

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.measures.classification import accuracy as accuracy_of
from hf_unlab.few_labels.heads import name_classes
from hf_unlab.few_labels.methods import cheap, refuse_not_positive
from hf_unlab.few_labels.rows import rare_note
from hf_unlab.few_labels.sampling import rare_classes, sample_few_labels
from hf_unlab.modalities.modality import Encoder, Modality, TransformersEncoder
from hf_unlab.training.finetuning import alone_and_quiet, finetune_classifier, predict_classes, refuse_overwriting

RESULTS_NAME = "classification_results.json"
SCRATCH, PRETRAINED = "from scratch", "pretrained"
# What is read of TrainingArguments; the rest of the protocol is that of the few-label table.
_USED = ("output_dir", "max_steps", "learning_rate", "per_device_train_batch_size", "seed", "use_cpu")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ClassifierResults:
    """How well a fine-tuned classifier does, and what it is compared with.

    Args:
        accuracy: On the test set: of "pretrained", of a logistic regression on the cheap baseline, and of "from
            scratch" if it was compared. All had the same labels.
        label_names: One a class.
        num_train: Labelled examples trained on.
        num_test: Examples tested on.
        num_steps: Optimiser steps.
        chance: What always answering the commonest class would score.
        noun: What the examples are called.
        rare_classes: Classes with fewer labels than were asked for, all of which were taken.
        num_labels_per_class: How many were asked for; None for all.

    Example:
        >>> accuracy = {"log-mel + logistic regression": 0.5, "from scratch": 0.25, "pretrained": 0.75}
        >>> print(ClassifierResults(accuracy, ("bada", "kimu"), 10, 40, 500, 0.5, "recordings").render())
        Accuracy in % on 40 test recordings of 2 classes (chance 50.0),
        after 500 steps on 10 labelled recordings
        <BLANKLINE>
        log-mel + logistic regression      50.0
        from scratch                       25.0
        pretrained                         75.0
    """

    accuracy: dict[str, float]
    label_names: tuple[str, ...]
    num_train: int
    num_test: int
    num_steps: int
    chance: float
    noun: str = "examples"
    rare_classes: dict[str, int] = field(default_factory=dict)
    num_labels_per_class: int | None = None

    def render(self) -> str:
        """Plain text of at most 80 columns."""
        lines = [
            f"Accuracy in % on {self.num_test:,} test {self.noun} of {len(self.label_names):,} classes "
            f"(chance {100 * self.chance:.1f}),",
            f"after {self.num_steps:,} steps on {self.num_train:,} labelled {self.noun}",
            "",
        ]
        lines += [f"{name:30}{100 * share:>9.1f}" for name, share in self.accuracy.items()]
        if self.rare_classes and self.num_labels_per_class:
            lines += ["", *textwrap.wrap(rare_note(self.rare_classes, self.num_labels_per_class), 80)]
        return "\n".join(lines)

    def save(self, folder: str | Path) -> None:
        """Writes classification_results.json beside a checkpoint."""
        content = {name: value for name, value in asdict(self).items() if name != "noun"}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (Path(folder) / RESULTS_NAME).write_text(text + "\n", encoding="utf-8")


def keep_classifier(
    checkpoint: str | Path,
    modality: Modality,
    pool: LabelledData,
    test: LabelledData,
    args: TrainingArguments,
    on_progress: OnProgress | None = None,
    *,
    num_labels_per_class: int | None = None,
    compare_from_scratch: bool = True,
) -> ClassifierResults:
    """Fine-tune an encoder to name a class, and save model, processor and results in `args.output_dir`.

    All weights are trained, as in the few-label table, and the library's own class of classifiers loads them. For
    comparison the same architecture is trained from random weights on the same labels for as many steps, and a
    logistic regression on the modality's cheap baseline.

    Args:
        checkpoint: A folder or a Hub id with an encoder's weights and its processor.
        modality: Of the encoder.
        pool: Examples to train on.
        test: Examples to score, under the same label names.
        args: Of training: the folder, steps, batch size, rate (by default 5e-4 for models under 20 M parameters and
            5e-5 for larger ones), seed and device. Others that differ from their defaults are refused.
        on_progress: Called as (model, steps done, steps in all).
        num_labels_per_class: How many labels are drawn, by `args.seed`; all of a class that has fewer. None takes
            all of each.
        compare_from_scratch: Whether to train from random weights, too.

    Returns:
        The accuracies.

    Raises:
        ValueError: A count or rate is too low, a setting would have no effect, or the result would overwrite the
            checkpoint.
    """
    refuse_overwriting(checkpoint, args.output_dir)
    _refuse_unused(args)
    refuse_not_positive("classification", max_steps=args.max_steps, learning_rate=args.learning_rate)
    encoder = modality.load_encoder(checkpoint)
    if not isinstance(encoder, TransformersEncoder):
        raise ValueError(f"No library has a classifier for {modality.name}, so there is none to keep.")
    encoders = {SCRATCH: modality.load_encoder(checkpoint, random_weights=True)} if compare_from_scratch else {}
    encoders[PRETRAINED] = encoder
    rare: dict[str, int] = {}
    if num_labels_per_class is not None:
        rare = rare_classes(pool.labels, num_labels_per_class, pool.label_names)
        pool = pool.take(sample_few_labels(pool.labels, num_labels_per_class, args.seed))
    baseline = cheap(modality.make_baselines(encoder, ())[0], pool, test)
    predictions = {f"{baseline.name} + {baseline.method}": baseline.predict(np.arange(len(pool)), args.seed)}
    for name, each in encoders.items():
        model = _fitted(name, each, pool, args, on_progress)
        predictions[name] = predict_classes(model, each, test.inputs)
    # behind the loop it is the pretrained one
    names = pool.label_names
    name_classes(model.config, names)
    model.save_pretrained(args.output_dir)
    encoder.processor.save_pretrained(args.output_dir)
    chance = float(np.bincount(test.labels).max() / len(test))
    accuracy = {name: accuracy_of(classes, test.labels) for name, classes in predictions.items()}
    results = ClassifierResults(
        accuracy, names, len(pool), len(test), args.max_steps, chance, modality.noun, rare, num_labels_per_class
    )
    results.save(args.output_dir)
    return results


def _fitted(
    name: str, encoder: Encoder, pool: LabelledData, args: TrainingArguments, on_progress: OnProgress | None
) -> torch.nn.Module:
    device, num_steps = args.device, args.max_steps
    with alone_and_quiet():
        model = encoder.classifier(len(pool.label_names), args.seed).to(device)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        finetune_classifier(
            model,
            encoder,
            pool.inputs,
            pool.labels,
            num_steps=num_steps,
            batch_size=args.per_device_train_batch_size,
            learning_rate=args.learning_rate or (5e-4 if num_parameters < 20_000_000 else 5e-5),
            seed=args.seed,
            on_step=(lambda step: on_progress(name, step, num_steps)) if on_progress else None,
        )
    return model


def _refuse_unused(args: TrainingArguments) -> None:
    if args.world_size > 1:
        raise ValueError(
            f"A classifier is fine-tuned in one process, and {args.world_size} were started: leave the launcher out."
        )
    with alone_and_quiet():
        default = vars(type(args)(args.output_dir, use_cpu=args.use_cpu))
    unused = [
        entry.name
        for entry in fields(args)
        # disable_tqdm is what the libraries' log level makes of it
        if entry.name not in (*_USED, "disable_tqdm") and vars(args).get(entry.name) != default.get(entry.name)
    ]
    if unused:
        raise ValueError(
            f"{', '.join(f'--{name}' for name in unused)} would have no effect on --task classification; of training "
            f"it reads {', '.join(f'--{name}' for name in _USED)}."
        )
