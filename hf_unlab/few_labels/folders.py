"""The folder of a classifier that is kept: its description, its encoder, and room for it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_unlab.modalities.modality import Modality

FILE_NAME, CARD_NAME, ENCODER_NAME = "classifier.joblib", "classifier.json", "encoder"
NETWORK_NAME, HEAD_NAME = "network.safetensors", "head.joblib"
# What a training leaves beside a checkpoint, and nobody needs who asks it.
_LEFT_BEHIND = ("checkpoint-*", "*.pt", "*.pth", "runs", "few_label*", "*_results.json", "report.html", "_*")
_WRITTEN = (
    FILE_NAME,
    CARD_NAME,
    ENCODER_NAME,
    NETWORK_NAME,
    HEAD_NAME,
    "classifier",
    "adapter_*",
    "model*.safetensors*",
    "config.json",
    "labels.json",
)


def make_room(folder: Path) -> None:
    """A folder for a classifier, without what another one left there: parts of two would be loaded as one."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CARD_NAME).is_file():
        for pattern in _WRITTEN:
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_encoder(checkpoint: str, folder: Path) -> str:
    """A Hub id as it is; a local checkpoint's copy within a folder, without what training left beside it."""
    if not Path(checkpoint).is_dir():
        return checkpoint
    by_name, own = shutil.ignore_patterns(*_LEFT_BEHIND), folder.resolve()

    def ignore(parent: str, names: list[str]) -> set[str]:
        within = {own.name} if Path(parent).resolve() == own.parent else set()  # a folder is not copied into itself
        return by_name(parent, names) | within

    shutil.copytree(checkpoint, folder / ENCODER_NAME, ignore=ignore, dirs_exist_ok=True)
    return ENCODER_NAME


def write_card(
    folder: Path,
    label_names: Sequence[str],
    modality: Modality,
    encoder: str,
    settings: dict[str, Any],
    metrics: dict[str, Any] | None,
    **more: Any,
) -> None:
    """classifier.json: what a classifier answers, how it was made, how good it is."""
    card = {
        "labels": list(label_names),
        "modality": modality.name,
        "encoder": encoder,
        "settings": settings,
        "metrics": metrics or {},
        **more,
    }
    (folder / CARD_NAME).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_card(folder: str | Path) -> dict[str, Any]:
    """What `write_card` wrote.

    Raises:
        ValueError: There is none.
    """
    path = Path(folder) / CARD_NAME
    if not path.is_file():
        raise ValueError(f"{folder} has no {CARD_NAME}: give a folder that `hf-unlab finetune` wrote.")
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card
