"""Pretraining on unlabelled data: streams in, ordinary Hugging Face checkpoints out.

The public names are imported when first used, so that `import hf_unlab` stays instant and changes nothing.

Example:
    >>> import hf_unlab
    >>> "PretrainingTrainer" in dir(hf_unlab)
    True
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not follow __getattr__
    from hf_unlab.data.loader import EvalLoader, StreamLoader
    from hf_unlab.data.sources import Source, hold_out, open_stream
    from hf_unlab.models.audio import load_audio_model
    from hf_unlab.models.dual_encoder import DualEncoder
    from hf_unlab.models.dual_encoder_loading import load_dual_encoder
    from hf_unlab.trainers.arguments import PretrainingArguments
    from hf_unlab.trainers.base import PretrainingTrainer
    from hf_unlab.trainers.image_text import ImageTextContrastiveTrainer, ImageTextContrastiveTrainingArguments
    from hf_unlab.trainers.masked_lm import MaskedLMTrainer, MaskedLMTrainingArguments
    from hf_unlab.trainers.objective import ObjectiveOutput
    from hf_unlab.trainers.wav2vec2 import Wav2Vec2PretrainingTrainer
    from hf_unlab.trainers.wav2vec2_arguments import Wav2Vec2TrainingArguments

__all__ = [
    "DualEncoder",
    "EvalLoader",
    "ImageTextContrastiveTrainer",
    "ImageTextContrastiveTrainingArguments",
    "MaskedLMTrainer",
    "MaskedLMTrainingArguments",
    "ObjectiveOutput",
    "PretrainingArguments",
    "PretrainingTrainer",
    "Source",
    "StreamLoader",
    "Wav2Vec2PretrainingTrainer",
    "Wav2Vec2TrainingArguments",
    "hold_out",
    "load_audio_model",
    "load_dual_encoder",
    "open_stream",
]

# Where each public name lives. tests/test_packaging.py holds this table, __all__ and the imports above together.
_MODULES = {
    "DualEncoder": "hf_unlab.models.dual_encoder",
    "ImageTextContrastiveTrainer": "hf_unlab.trainers.image_text",
    "ImageTextContrastiveTrainingArguments": "hf_unlab.trainers.image_text",
    "load_dual_encoder": "hf_unlab.models.dual_encoder_loading",
    "EvalLoader": "hf_unlab.data.loader",
    "MaskedLMTrainer": "hf_unlab.trainers.masked_lm",
    "MaskedLMTrainingArguments": "hf_unlab.trainers.masked_lm",
    "ObjectiveOutput": "hf_unlab.trainers.objective",
    "PretrainingArguments": "hf_unlab.trainers.arguments",
    "PretrainingTrainer": "hf_unlab.trainers.base",
    "Source": "hf_unlab.data.sources",
    "StreamLoader": "hf_unlab.data.loader",
    "Wav2Vec2PretrainingTrainer": "hf_unlab.trainers.wav2vec2",
    "Wav2Vec2TrainingArguments": "hf_unlab.trainers.wav2vec2_arguments",
    "load_audio_model": "hf_unlab.models.audio",
    "hold_out": "hf_unlab.data.sources",
    "open_stream": "hf_unlab.data.sources",
}

try:
    __version__ = importlib.metadata.version("hf-unlab")
except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'hf_unlab' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # the next access does not come here again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
