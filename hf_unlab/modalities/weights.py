"""Loading a checkpoint's weights with open eyes: what it lacks, and what it holds that the model has no place for.

transformers draws at random what is missing, and tells it in a table that recipes do not show.
"""

import contextlib
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from hf_unlab.streams.messages import one_line, warn_once

logger = logging.getLogger(__name__)

Head: TypeAlias = Literal["needed", "fresh", "required"]

# Parts of an encoder that checkpoints lack where pretraining does not train them.
_OPTIONAL_PARTS = {"pooler", "masked_spec_embed", "contact_head"}
_TOWERS = ("vision_model.", "text_model.")  # of a dual encoder, whose projections are its head
_SHOWN = 4


class WeightsError(ValueError):
    """A checkpoint's weights are not those of the model, or are damaged."""


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's weights fit a model, by their names.

    Args:
        lacking: Of the model's encoder, and not in the checkpoint.
        new: Of its head or its pooler, and not in the checkpoint.
        unused: In the checkpoint, and named as the encoder's are, but not in the model.
        other: In the checkpoint, and of no part of the model: another head.
        unlike: Of other shapes, those of the checkpoint and of the model.
    """

    lacking: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    other: tuple[str, ...]
    unlike: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def load_weights(auto_class: Any, checkpoint: str | Path, *, head: Head = "needed", **options: Any) -> Any:
    """`auto_class.from_pretrained` in float32, which says what was not in the checkpoint.

    An encoder must be there. A head that is not is warned of, as its weights are random; so are weights of the
    encoder's kind that the model has no place for. Other heads in the checkpoint are nobody's loss.

    Args:
        auto_class: A class of transformers with `from_pretrained`.
        checkpoint: A folder or a Hub id.
        head: "fresh" where it is to be new, as a classifier's: then it is nothing to warn of. "required" where the
            checkpoint must be this very model's, as in a resumed run.
        **options: As `from_pretrained` takes them.

    Returns:
        The model, in evaluation mode.

    Raises:
        WeightsError: Weights of the encoder are missing or have other shapes (with "required" any weights, or there
            are too many), or the file is damaged.
        OSError: There is no such checkpoint.

    Example:
        >>> model = load_weights(AutoModel, "out/checkpoint")  # doctest: +SKIP
    """
    try:
        with _no_table():
            model, info = auto_class.from_pretrained(
                checkpoint, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True, **options
            )
    except (RuntimeError, SafetensorError) as error:
        why = one_line(error)
        raise WeightsError(f"The weights of {str(checkpoint)!r} cannot be read ({why}); are they whole?") from error
    fit = _fit(model, info)
    _refuse(fit, model, str(checkpoint), is_fresh=head == "fresh")
    if head == "required" and (strange := fit.new + fit.unused + fit.other):
        raise WeightsError(f"{str(checkpoint)!r} is of another architecture: {module_names(strange)}.")
    if fit.new and head == "needed":
        holds = f" It holds instead: {module_names(fit.other)}." if fit.other else ""
        logger.warning(
            "%r has no weights for %s of %s: they are new, drawn at random.%s",
            *(str(checkpoint), module_names(fit.new), type(model).__name__, holds),
        )
    if fit.unused:
        warn = partial(warn_once, logger) if head == "fresh" else logger.warning  # a table makes many classifiers
        warn(
            f"{str(checkpoint)!r} holds weights that {type(model).__name__} has no place for by its config.json, and "
            f"which are left out: {module_names(fit.unused)}."
        )
    return model


def check_overrides(config_overrides: str | None, *, is_new: bool) -> None:
    """Refuse changes of an architecture whose weights are to be read.

    Raises:
        ValueError: They are.
    """
    if config_overrides and not is_new:
        raise ValueError("config_overrides change an architecture: they need a preset or from_scratch=True.")


def load_renamed(model: Any, folder: str | Path) -> bool:
    """Take the weights of a checkpoint of this very model whose file has other names for them than the model itself.

    `save_pretrained` writes the names of older releases for some architectures, such as ViT's, and Trainer looks for
    the model's own (transformers 5.23): it would warn, and go on with whatever weights the model has. To be dropped
    when Trainer loads what it saved.

    Args:
        model: Its weights are replaced.
        folder: Where `save_pretrained` saved it.

    Returns:
        Whether the names are others; if not, nothing was done.
    """
    path = Path(folder) / "model.safetensors"
    if not isinstance(model, PreTrainedModel) or not path.is_file():
        return False
    with safe_open(path, "pt") as file:
        if set(file.keys()) <= model.state_dict().keys():
            return False
    model.load_state_dict(load_weights(type(model), folder, head="required", config=model.config).state_dict())
    return True


def _fit(model: PreTrainedModel, info: dict[str, Any]) -> Fit:
    prefixes = _encoder_prefixes(model)
    children = {name for name, _ in model.base_model.named_children()}
    missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])

    def is_encoders(name: str) -> bool:
        return name.startswith(prefixes) and _OPTIONAL_PARTS.isdisjoint(name.split("."))

    def is_named_as_encoders(name: str) -> bool:
        if prefixes == ("",):  # a bare encoder, whose checkpoint may have been a whole model's
            return name.removeprefix(f"{model.base_model_prefix}.").split(".")[0] in children and is_encoders(name)
        return is_encoders(name)

    return Fit(
        lacking=tuple(name for name in missing if is_encoders(name)),
        new=tuple(name for name in missing if not is_encoders(name)),
        unused=tuple(name for name in unexpected if is_named_as_encoders(name)),
        other=tuple(name for name in unexpected if not is_named_as_encoders(name)),
        unlike={name: (tuple(there), tuple(here)) for name, there, here in sorted(info["mismatched_keys"])},
    )


def _encoder_prefixes(model: PreTrainedModel) -> tuple[str, ...]:
    """How the names of the encoder's weights begin in a model's state."""
    if model.base_model is not model:
        return (f"{model.base_model_prefix}.",)
    return tuple(tower for tower in _TOWERS if hasattr(model, tower[:-1])) or ("",)


def _refuse(fit: Fit, model: PreTrainedModel, checkpoint: str, *, is_fresh: bool) -> None:
    prefixes = _encoder_prefixes(model)
    unlike = {name: shapes for name, shapes in fit.unlike.items() if name.startswith(prefixes) or not is_fresh}
    if unlike:
        name, (there, here) = max(unlike.items(), key=lambda item: len(item[1][0]))  # a matrix tells more than a bias
        more = f", and {len(unlike) - 1} more are unlike" if len(unlike) > 1 else ""
        raise WeightsError(
            f"The weights of {checkpoint!r} do not fit its config.json: {name} is {_shape(there)} in the checkpoint "
            f"and {_shape(here)} in the model{more}. Give the config.json that they were saved with."
        )
    if fit.lacking:
        found = fit.unused + fit.other
        holds = f"instead: {module_names(found)}" if found else "no others"
        raise WeightsError(
            f"{checkpoint!r} lacks {len(fit.lacking)} weights of the encoder of {type(model).__name__}, which "
            f"would be random: {module_names(fit.lacking)}. It holds {holds}. "
            "Give the config.json and the weights of one model, or train from scratch."
        )


def module_names(names: Collection[str]) -> str:
    """The first of the modules whose weights are named, those of all layers as one.

    Example:
        >>> module_names([f"layer.{i}.{kind}" for i in range(12) for kind in ("key.weight", "key.bias", "scale")])
        'layer.*.key, layer.*.scale'
    """
    modules = {re.sub(r"\.(weight|bias)$", "", name) for name in names}
    patterns = sorted({re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name) for name in modules})
    more = f" and {len(patterns) - _SHOWN} more" if len(patterns) > _SHOWN else ""
    return ", ".join(patterns[:_SHOWN]) + more


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


@contextlib.contextmanager
def _no_table() -> Iterator[None]:
    """transformers logs no table of weights within, nor guesses why they are missing: what matters is said here."""
    log = logging.getLogger("transformers.modeling_utils")

    def is_another(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return "LOAD REPORT" not in message and "seem corrupted" not in message

    log.addFilter(is_another)
    try:
        yield
    finally:
        log.removeFilter(is_another)
