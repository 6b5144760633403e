"""Where public names were until 0.1: old import paths go on working, and say what to write instead.

Old packages stand in this folder, which `hf_unlab.__path__` names: nothing of it is imported unless an old path is. To
be deleted with that line in version 0.3.
"""

import sys
import warnings
from types import ModuleType
from typing import Any

REMOVED_IN = "0.3"
NAMES = {
    "hf_unlab.data.loader": ("EvalLoader", "StreamLoader"),
    "hf_unlab.data.sources": ("Source", "hold_out", "open_stream"),
    "hf_unlab.models.audio": ("load_audio_model",),
    "hf_unlab.models.dual_encoder": ("DualEncoder",),
    "hf_unlab.models.dual_encoder_loading": ("load_dual_encoder",),
    "hf_unlab.trainers.arguments": ("PretrainingArguments",),
    "hf_unlab.trainers.base": ("PretrainingTrainer",),
    "hf_unlab.trainers.image_text": ("ImageTextContrastiveTrainer", "ImageTextContrastiveTrainingArguments"),
    "hf_unlab.trainers.masked_lm": ("MaskedLMTrainer", "MaskedLMTrainingArguments"),
    "hf_unlab.trainers.objective": ("ObjectiveOutput",),
    "hf_unlab.trainers.wav2vec2": ("Wav2Vec2PretrainingTrainer",),
    "hf_unlab.trainers.wav2vec2_arguments": ("Wav2Vec2TrainingArguments",),
}


class _OldModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name not in NAMES[self.__name__]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}: it has moved; see CHANGELOG.md")
        import hf_unlab

        warnings.warn(
            f"{self.__name__}.{name} has moved, and this path ends in version {REMOVED_IN}: write "
            f"`from hf_unlab import {name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(hf_unlab, name)


def stand_in(package: str) -> None:
    """Put the old modules of an old package where `import` looks for them."""
    for module in NAMES:
        if module.startswith(f"{package}."):
            sys.modules[module] = _OldModule(module, "Moved: see `hf_unlab._moved`.")
