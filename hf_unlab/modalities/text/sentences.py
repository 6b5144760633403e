"""What the files of sentence-transformers say of a checkpoint: how its states become one vector."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_unlab.modalities.checkpoint_files import read_json

_KNOWN = {"Transformer", "Pooling", "Normalize", "StaticEmbedding"}
# sentence-transformers' names of poolings, and ours
POOLINGS = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last"}


@dataclass(frozen=True)
class Modules:
    """The modules of a checkpoint of sentence-transformers; without any, an ordinary checkpoint.

    Args:
        names: Their classes, in order; empty without modules.json.
        paths: Folders in the checkpoint, one a module.
        pooling: "mean", "cls" or "last" over the last layer; None: not said.
        max_length: Tokens that are read of a text; None: not said.
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    pooling: str | None = None
    max_length: int | None = None

    @property
    def is_static(self) -> bool:
        """Whether it is a table of word embeddings."""
        return "StaticEmbedding" in self.names

    @property
    def is_normalised(self) -> bool:
        """Whether vectors have norm 1."""
        return "Normalize" in self.names


def read_modules(checkpoint: str | Path) -> Modules:
    """From modules.json and the files that it names.

    Args:
        checkpoint: A folder or a Hub id.

    Raises:
        ValueError: A pooling that hf_unlab has not.

    Example:
        >>> read_modules("a/folder/without/it")
        Modules(names=(), paths=(), pooling=None, max_length=None)
    """
    listed = read_json(checkpoint, "modules.json")
    if not listed:
        return Modules()
    names = tuple(module["type"].rpartition(".")[2] for module in listed)
    paths = tuple(module.get("path", "") for module in listed)
    pooling = None
    if "Pooling" in names:
        pooling = _pooling_of(checkpoint, read_json(checkpoint, f"{paths[names.index('Pooling')]}/config.json") or {})
    more = read_json(checkpoint, "sentence_bert_config.json") or {}
    return Modules(names, paths, pooling, more.get("max_seq_length"))


def refuse_unknown_modules(checkpoint: str | Path, modules: Modules) -> None:
    """A module that is not run would change every vector.

    Raises:
        ValueError: There is one that is not known here.
    """
    if unknown := [name for name in modules.names if name not in _KNOWN]:
        raise ValueError(
            f"{checkpoint} has the modules {', '.join(modules.names)}, and {', '.join(unknown)} cannot be run here: "
            "embed it with sentence-transformers."
        )


def _pooling_of(checkpoint: str | Path, config: dict[str, Any]) -> str:
    given = config.get("pooling_mode")
    modes = [given] if isinstance(given, str) else [name for name, used in config.items() if used is True]
    modes = [
        mode.removeprefix("pooling_mode_") for mode in modes if isinstance(given, str) or mode.startswith("pooling_")
    ]
    modes = [POOLINGS.get(mode, mode) for mode in modes]
    if len(modes) != 1 or modes[0] not in POOLINGS.values():
        raise ValueError(
            f"{checkpoint} pools by {', '.join(modes) or 'nothing'}; known are mean, cls and the last token."
        )
    return modes[0]
