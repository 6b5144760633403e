"""Who teaches: an encoder, by its features, or a fine-tuned classifier, by its soft targets.

Legend: B examples, D features or classes.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import Batch, Encoder, Modality, TransformersEncoder
from hf_unlab.modalities.running import default_device, evaluating
from hf_unlab.modalities.weights import WeightsError, load_weights
from hf_unlab.objectives.distillation.crops import kind_of
from hf_unlab.streams.messages import first_line

FEATURES, SOFT_TARGETS = "features", "soft_targets"
TARGETS = (FEATURES, SOFT_TARGETS)


@dataclass(eq=False)
class Teacher:
    """A model that is asked, and never trained, saved or published.

    Args:
        encoder: Makes its batches, and features of them.
        modality: What it reads.
        label_names: Of a classifier, in the order of its logits; empty: it teaches features.
        classifier: Where there are labels.
    """

    encoder: Encoder
    modality: Modality
    label_names: tuple[str, ...] = ()
    classifier: nn.Module | None = None

    @property
    def target(self) -> str:
        """What it teaches, of `TARGETS`."""
        return SOFT_TARGETS if self.classifier is not None else FEATURES

    @property
    def model(self) -> nn.Module:
        """What is asked."""
        return self.encoder.model if self.classifier is None else self.classifier

    @cached_property
    def size(self) -> int:
        """D."""
        batch = self.encoder.collate([kind_of(self.modality.name).make_sample()])
        device = next(self.model.parameters()).device
        return self({name: tensor.to(device) for name, tensor in batch.items()}).shape[1]

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Features or logits, (B, D) in float32, without a graph and without chance; its modes stay as they are."""
        with evaluating(self.model), torch.no_grad():
            if self.classifier is not None:
                return self.classifier(**batch).logits.float()
            features_BD = self.encoder.embed(batch)
            return F.normalize(features_BD, dim=1) if self.encoder.has_unit_norm else features_BD

    @cached_property
    def fingerprint(self) -> int:
        """What tells it from others: of its weights, 63 bits."""
        digest = hashlib.blake2b(digest_size=8)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            # bfloat16 is unknown to numpy, and bytes are not
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return int.from_bytes(digest.digest(), "little") >> 1


class TeacherMark(nn.Module):
    """Which teacher a run has: in its checkpoints in place of the teacher itself, which the run is given again.

    Args:
        fingerprint: The teacher's.

    Example:
        >>> TeacherMark(1).load_state_dict(TeacherMark(2).state_dict())
        Traceback (most recent call last):
        ValueError: The run was made with another teacher: resume it with that one, or start anew.
    """

    fingerprint: torch.Tensor

    def __init__(self, fingerprint: int) -> None:
        super().__init__()
        self.register_buffer("fingerprint", torch.tensor(fingerprint), persistent=False)

    def get_extra_state(self) -> torch.Tensor:
        """As torch saves it."""
        return self.fingerprint

    def set_extra_state(self, state: Any) -> None:
        """As torch loads it.

        Raises:
            ValueError: It is another's.
        """
        if int(state) != int(self.fingerprint):
            raise ValueError("The run was made with another teacher: resume it with that one, or start anew.")


def load_teacher(checkpoint: str | Path | None, modality: str = "text", target: str = FEATURES) -> Teacher:
    """A teacher.

    Args:
        checkpoint: A folder or a Hub id: of an encoder, or for soft targets of a classifier of transformers.
        modality: What it reads.
        target: What it teaches, of `TARGETS`.

    Raises:
        ValueError: None is named, nobody can be taught this modality or target yet, or the checkpoint is no
            classifier with one answer.

    Example:
        >>> teacher = load_teacher("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
        >>> teacher.size  # doctest: +SKIP
        384
    """
    kind_of(modality)
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}.")
    if not checkpoint:
        raise ValueError("There is no teacher: give --teacher, the folder or Hub id of a model to learn from.")
    found = get_modality(modality)
    try:
        encoder = found.load_encoder(checkpoint)
    except OSError as error:
        raise ValueError(
            f"Cannot load the teacher {str(checkpoint)!r}: it is no folder here with a model and its processor, and "
            f"on the Hub it was not found. Check the spelling and the connection. ({first_line(error)})"
        ) from error
    if target == FEATURES:
        encoder.model.requires_grad_(False)
        return Teacher(encoder, found)
    classifier = _load_classifier(checkpoint, encoder).requires_grad_(False)
    return Teacher(encoder, found, label_names(classifier.config), classifier)


def _load_classifier(checkpoint: str | Path, encoder: Encoder) -> Any:
    if not isinstance(encoder, TransformersEncoder):
        raise ValueError(f"{checkpoint} is a static table, which has no classes: take target=features.")
    try:
        classifier = load_weights(encoder.auto_class, checkpoint, head="required")
    except WeightsError as error:
        raise ValueError(
            f"{checkpoint} is no fine-tuned classifier ({error}): give one, or take target=features."
        ) from error
    config = classifier.config
    if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
        raise ValueError(
            f"{checkpoint} has {config.num_labels} outputs and problem_type={config.problem_type!r}: soft targets are "
            "shares of at least two classes, of which one is right."
        )
    return classifier.to(default_device())


def label_names(config: Any) -> tuple[str, ...]:
    """The names of a classifier's classes, in the order of its logits."""
    return tuple(str(config.id2label[number]) for number in range(config.num_labels))
