"""A classifier of recordings to keep: fine-tuned from a checkpoint on all labels or a few, measured, and saved.

How much pretraining is worth with how many labels is another question, which `audio_proof` answers in a table.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from transformers import FeatureExtractionMixin, PreTrainedModel, TrainingArguments

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.metrics import Accuracy
from hf_unlab.few_labels.audio import ModelMaker, fit_audio_classifier, from_checkpoint, from_scratch, predict_classes
from hf_unlab.few_labels.draws import draw_few
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.labelled_audio import load_encoder_config, load_feature_extractor, refuse_overwriting
from hf_unlab.few_labels.protocol import count_labels
from hf_unlab.few_labels.settings import AudioFinetuneSettings
from hf_unlab.modalities.audio.baseline import log_mel_baseline
from hf_unlab.streams.bad_examples import Example

RESULTS_NAME = "classification_results.json"
LOG_MEL, SCRATCH, PRETRAINED = "log-mel + logistic regression", "from scratch", "pretrained"
# What is read of TrainingArguments; the rest of the protocol is that of the few-label table.
_USED = ("output_dir", "max_steps", "learning_rate", "per_device_train_batch_size", "seed", "use_cpu")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ClassifierResults:
    """How well a fine-tuned classifier does, and what it is compared with.

    Args:
        accuracy: On the test set: of "pretrained", of a logistic regression on log-mel spectra, and of "from scratch"
            if it was compared. All had the same labels.
        label_names: One a class.
        num_train: Labelled recordings trained on.
        num_test: Recordings tested on.
        num_steps: Optimiser steps.
        chance: What always answering the commonest class would score.

    Example:
        >>> accuracy = {"log-mel + logistic regression": 0.5, "from scratch": 0.25, "pretrained": 0.75}
        >>> print(ClassifierResults(accuracy, ("bada", "kimu"), 10, 40, 500, 0.5).render())
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

    def render(self) -> str:
        """Plain text of at most 80 columns."""
        lines = [
            f"Accuracy in % on {self.num_test:,} test recordings of {len(self.label_names):,} classes "
            f"(chance {100 * self.chance:.1f}),",
            f"after {self.num_steps:,} steps on {self.num_train:,} labelled recordings",
            "",
        ]
        return "\n".join([*lines, *(f"{name:30}{100 * share:>9.1f}" for name, share in self.accuracy.items())])

    def save(self, folder: str | Path) -> None:
        """Writes classification_results.json beside a checkpoint."""
        content = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (Path(folder) / RESULTS_NAME).write_text(content + "\n", encoding="utf-8")


def finetune_classifier(
    checkpoint: str | Path,
    train: Sequence[Example],
    test: Sequence[Example],
    settings: AudioFinetuneSettings,
    args: TrainingArguments,
    on_progress: OnProgress | None = None,
) -> ClassifierResults:
    """Fine-tune an encoder of raw audio to name a class, and save model, feature extractor and results.

    All weights are trained, as `finetune_audio_classifier` does. They end in `args.output_dir`, where
    `AutoModelForAudioClassification` and `AutoFeatureExtractor` load them. For comparison the same architecture is
    trained from random weights on the same labels for as many steps, and a logistic regression on log-mel spectra.

    Args:
        checkpoint: A folder or a Hub id with an encoder's weights and its feature extractor.
        train: Recordings: `audio`, a waveform (samples,) at the feature extractor's rate, and `label`, a name.
        test: Recordings to score.
        settings: How many labels are drawn, and whether to compare; its data are not read.
        args: Of training: the folder, steps, batch size, rate (by default 5e-4 for models under 20 M parameters and
            5e-5 for larger ones), seed and device. Others that differ from their defaults are refused.
        on_progress: Called as (model, steps done, steps in all).

    Returns:
        The accuracies.

    Raises:
        ValueError: The encoder has no convolutions over raw audio, a class has too few recordings, a setting would
            have no effect, or the result would overwrite the checkpoint.
    """
    refuse_overwriting(checkpoint, args.output_dir)
    _refuse_unused(args)
    extractor, config = load_feature_extractor(checkpoint), load_encoder_config(checkpoint)
    pool, unseen = _labelled(train, test, settings.num_labels_per_class, args.seed)
    rate_hz, names = extractor.sampling_rate, pool.label_names
    count_labels("classification", pool.labels, len(pool), max_steps=args.max_steps, learning_rate=args.learning_rate)
    baseline = log_mel_baseline(LOG_MEL, pool.inputs, pool.labels, unseen.inputs, rate_hz)
    predictions = {LOG_MEL: baseline.predict(np.arange(len(pool)), args.seed)}
    makers = {SCRATCH: from_scratch(config)} if settings.compare_from_scratch else {}
    for name, make_model in {**makers, PRETRAINED: from_checkpoint(checkpoint)}.items():
        model = _fitted(name, make_model, pool, extractor, args, on_progress)
        predictions[name] = predict_classes(model, unseen.inputs, rate_hz, normalise=extractor.do_normalize)
    # behind the loop it is the pretrained one
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    model.save_pretrained(args.output_dir)
    extractor.save_pretrained(args.output_dir)
    metric, chance = Accuracy(), float(np.bincount(unseen.labels).max() / len(unseen))
    accuracy = {
        name: metric.compute(predictions=classes, references=unseen.labels)["accuracy"]
        for name, classes in predictions.items()
    }
    results = ClassifierResults(accuracy, names, len(pool), len(unseen), args.max_steps, chance)
    results.save(args.output_dir)
    return results


def _labelled(
    train: Sequence[Example], test: Sequence[Example], num_per_class: int | None, seed: int
) -> tuple[LabelledData, LabelledData]:
    """All of the training recordings, or as many of each class as wanted, and the test set."""
    names = tuple(sorted({row["label"] for row in train}))
    pool, unseen = (
        LabelledData([row["audio"] for row in rows], np.array([names.index(row["label"]) for row in rows]), names)
        for rows in (train, test)
    )
    return (pool if num_per_class is None else pool.take(draw_few(pool.labels, num_per_class, seed))), unseen


def _fitted(
    name: str,
    make_model: ModelMaker,
    pool: LabelledData,
    extractor: FeatureExtractionMixin,
    args: TrainingArguments,
    on_progress: OnProgress | None,
) -> PreTrainedModel:
    device, num_steps = args.device, args.max_steps
    with alone_and_quiet():
        model = make_model(len(pool.label_names), args.seed).to(device)
        fit_audio_classifier(
            model,
            pool.inputs,
            pool.labels,
            extractor.sampling_rate,
            num_steps=num_steps,
            batch_size=args.per_device_train_batch_size,
            learning_rate=args.learning_rate or (5e-4 if model.num_parameters() < 20_000_000 else 5e-5),
            normalise=extractor.do_normalize,
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
