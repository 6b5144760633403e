"""Pretraining on unlabelled data: streams in, ordinary Hugging Face checkpoints out.

The public names are imported when first used, so that `import hf_unlab` stays instant and changes nothing.

Example:
    >>> import hf_unlab
    >>> "PretrainingTrainer" in dir(hf_unlab)
    True
"""

import importlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_unlab.objectives import OBJECTIVES

if TYPE_CHECKING:  # for type checkers and editors, which do not follow __getattr__
    from hf_unlab.few_labels.kept import fit_classifier as fit_classifier
    from hf_unlab.few_labels.kept import load_classifier as load_classifier
    from hf_unlab.few_labels.sampling import sample_few_labels as sample_few_labels
    from hf_unlab.hub.card import CardSettings as CardSettings
    from hf_unlab.hub.publish import PublishSettings as PublishSettings
    from hf_unlab.hub.publish import publish_model as publish_model
    from hf_unlab.hub.verify import verify_published as verify_published
    from hf_unlab.modalities.audio.mel_models import load_mel_model as load_mel_model
    from hf_unlab.modalities.audio.models import load_audio_model as load_audio_model
    from hf_unlab.modalities.image_text.dual_encoder import DualEncoder as DualEncoder
    from hf_unlab.modalities.image_text.models import load_dual_encoder as load_dual_encoder
    from hf_unlab.modalities.text.load_sentence import load_sentence_model as load_sentence_model
    from hf_unlab.objectives import *  # noqa: F403
    from hf_unlab.streams.eval_loader import EvalLoader as EvalLoader
    from hf_unlab.streams.held_out import hold_out as hold_out
    from hf_unlab.streams.loader import StreamLoader as StreamLoader
    from hf_unlab.streams.sources import Source as Source
    from hf_unlab.streams.sources import open_stream as open_stream
    from hf_unlab.training.arguments import PretrainingArguments as PretrainingArguments
    from hf_unlab.training.objective import ObjectiveOutput as ObjectiveOutput
    from hf_unlab.training.trainer import PretrainingTrainer as PretrainingTrainer

# Where each public name lives; those of objectives stand in their table. A test holds this and the imports together.
_MODULES = {
    "CardSettings": "hf_unlab.hub.card",
    "DualEncoder": "hf_unlab.modalities.image_text.dual_encoder",
    "EvalLoader": "hf_unlab.streams.eval_loader",
    "ObjectiveOutput": "hf_unlab.training.objective",
    "PretrainingArguments": "hf_unlab.training.arguments",
    "PretrainingTrainer": "hf_unlab.training.trainer",
    "PublishSettings": "hf_unlab.hub.publish",
    "Source": "hf_unlab.streams.sources",
    "StreamLoader": "hf_unlab.streams.loader",
    "fit_classifier": "hf_unlab.few_labels.kept",
    "hold_out": "hf_unlab.streams.held_out",
    "load_audio_model": "hf_unlab.modalities.audio.models",
    "load_classifier": "hf_unlab.few_labels.kept",
    "load_dual_encoder": "hf_unlab.modalities.image_text.models",
    "load_mel_model": "hf_unlab.modalities.audio.mel_models",
    "load_sentence_model": "hf_unlab.modalities.text.load_sentence",
    "open_stream": "hf_unlab.streams.sources",
    "publish_model": "hf_unlab.hub.publish",
    "sample_few_labels": "hf_unlab.few_labels.sampling",
    "verify_published": "hf_unlab.hub.verify",
}
_MODULES |= {name: row.module for row in OBJECTIVES.values() for name in row.public_names}
__all__ = sorted(_MODULES)
__path__.append(str(Path(__file__).parent / "_moved"))  # noqa: F405 - old import paths, until 0.3

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
