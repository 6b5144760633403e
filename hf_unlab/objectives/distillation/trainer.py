"""Distillation on data without labels: a smaller student learns to say what a larger teacher says.

Example -> a random crop -> teacher -> features, or logits of classes
                         -> student -> the same, features through a linear map -> their distance

The map is trained beside the student and is not published, and the teacher is neither trained nor saved: checkpoints
hold a mark of it, by which another one is refused when the run is resumed.

Legend: N examples, D features of the student, F of the teacher, C classes.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_unlab.losses.distillation import feature_losses, soft_target_losses
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.running import seeded, without_weights
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.modalities.text.sentence_models import SentenceModel
from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.objectives.distillation.collator import TeachingCollator
from hf_unlab.objectives.distillation.crops import kind_of
from hf_unlab.objectives.distillation.teacher import SOFT_TARGETS, Teacher, TeacherMark, label_names
from hf_unlab.streams.bad_examples import Check, Decode
from hf_unlab.streams.loader import Batch, Collator
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer


class DistillationTrainer(PretrainingTrainer):
    """Train a student on what a teacher makes of unlabelled texts or images.

    Args:
        model: The student. Of features a `SentenceModel`, or the bare encoder of an image model of transformers; of
            soft targets a classifier of transformers, of the teacher's classes.
        args: Settings.
        *positional: As in `PretrainingTrainer`.
        teacher: From `load_teacher`.
        **named: As in `PretrainingTrainer`; `processing_class` is needed with a model of transformers.

    Raises:
        ValueError: As PretrainingTrainer's; or the student cannot learn this target, or has other classes.

    Example:
        >>> import tempfile
        >>> from hf_unlab.modalities import get_modality
        >>> from hf_unlab.testing import tiny_static_model, tiny_stream, tiny_texts
        >>> larger, smaller = tiny_static_model(16), tiny_static_model(4)
        >>> args = DistillationTrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, num_readers=1, per_device_train_batch_size=8,
        ...     validation_fraction=0.2, disable_tqdm=True)
        >>> teacher = Teacher(larger.encoder(), get_modality("text"))
        >>> trainer = DistillationTrainer(smaller, args, tiny_stream(tiny_texts(50)), teacher=teacher)
        >>> _ = trainer.train()
        {...}
        >>> trainer.state.global_step
        2
    """

    input_unit = "examples"
    leading_metrics: ClassVar[tuple[str, ...]] = ("agreement",)
    args: DistillationTrainingArguments

    def __init__(
        self,
        model: SentenceModel | PreTrainedModel,
        args: DistillationTrainingArguments,
        *positional: Any,
        teacher: Teacher,
        **named: Any,
    ) -> None:
        modality = teacher.modality
        self._kind = kind_of(modality.name)
        self.raw_columns = (modality.column,)  # type: ignore[misc]  # of this run
        self.file_columns = modality.file_columns  # type: ignore[misc]
        _check_student(model, teacher)
        processor = named.get("processing_class")
        if processor is None and not isinstance(model, SentenceModel):
            raise ValueError(f"A {type(model).__name__} needs processing_class: its tokenizer or image processor.")
        self.teacher, self._student = teacher, modality.live_encoder(model, processor)
        super().__init__(model, args, *positional, **named)
        teacher.model.to(args.device)

    def auxiliary_modules(self) -> dict[str, nn.Module]:
        """The mark of the teacher; of features also the map from the student's to the teacher's."""
        modules: dict[str, nn.Module] = {"teacher": TeacherMark(self.teacher.fingerprint)}
        if self.teacher.target != SOFT_TARGETS:
            with seeded(self.args.seed):
                modules["projection"] = nn.Linear(self._num_features(), self.teacher.size)
        return modules

    def is_decayed(self, name: str, parameter: nn.Parameter) -> bool:
        """Matrices are: no gain of any norm or bias."""
        return parameter.ndim >= 2

    # ---- Data ----

    def make_check(self) -> Check | None:
        """The modality's."""
        return self.teacher.modality.check

    def make_decode(self) -> Decode | None:
        """The modality's; texts are whole."""
        modality = self.teacher.modality
        settings: FewLabelSettings = modality.few_label_settings().unlimited()
        return modality.make_decode(settings, self._student)

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Draw crops; in evaluation none."""
        student, teacher = (without_weights(encoder) for encoder in (self._student, self.teacher.encoder))
        crop, seed = self._kind.make_crop(self.args), None if evaluation else self.args.seed
        return TeachingCollator(self.teacher.modality.column, crop, student, teacher, seed)

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """The distance of each example, and the agreement.

        That is the share of the examples to which both give the same class, or the mean cosine of the features.
        """
        args, num_items = self.args, batch["num_items"]
        told = self.teacher(batch["teacher"])
        if self.teacher.target == SOFT_TARGETS:
            logits_NC = model(**batch["student"]).logits
            losses_N = soft_target_losses(logits_NC, told, args.temperature)
            agreement = (logits_NC.argmax(-1) == told.argmax(-1)).sum()
        else:
            features_NF = self.auxiliary["projection"](self._features(model, batch["student"]))
            losses_N = feature_losses(features_NF, told, args.feature_loss)
            agreement = (1 - feature_losses(features_NF.detach(), told)).sum()
        metrics = {"agreement": (agreement, num_items)}
        term = Term(losses_N.sum(), num_items)
        return ObjectiveOutput({"distillation": term}, len(losses_N), metrics, losses_N, batch["rows"])

    def _features(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """(N, D), by the model as it is wrapped."""
        if isinstance(self.accelerator.unwrap_model(self.model), SentenceModel):
            return model(**batch).features_BD.float()
        self._student.__dict__["model"] = model
        return self._student.embed(batch)

    def _num_features(self) -> int:
        core = self.accelerator.unwrap_model(self.model)
        if isinstance(core, SentenceModel):
            return core.num_features
        return Teacher(_embedding(core, self._student), self.teacher.modality).size


def _embedding(model: nn.Module, encoder: Encoder) -> Encoder:
    encoder.__dict__["model"] = model
    return encoder


def _check_student(model: Any, teacher: Teacher) -> None:
    """Refuse what cannot learn what the teacher teaches.

    Raises:
        ValueError: With what to give in its place.
    """
    name = type(model).__name__
    if teacher.target != SOFT_TARGETS:
        if not isinstance(model, SentenceModel) and (
            not isinstance(model, PreTrainedModel) or model.base_model is not model or teacher.modality.name == "text"
        ):
            raise ValueError(
                f"A {name} cannot learn features of {teacher.modality.noun}: give a SentenceModel of texts "
                "(load_sentence_model), or the bare encoder (AutoModel) of images."
            )
        return
    if not isinstance(model, PreTrainedModel) or model.config.num_labels != len(teacher.label_names):
        raise ValueError(
            f"A {name} has not the {len(teacher.label_names)} classes of the teacher: give a classifier of "
            "transformers with as many, which make_student makes; a static table learns features only."
        )
    names, own = teacher.label_names, label_names(model.config)
    is_named = own != tuple(f"LABEL_{number}" for number in range(len(own)))
    if is_named and own != names:
        raise ValueError(f"The student's classes are {own} and the teacher's {names}: they must have one order.")
