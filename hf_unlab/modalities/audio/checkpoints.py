"""Speech models by name: what a checkpoint says of itself, changes of its architecture, and weights or new ones."""

from collections.abc import Collection
from typing import Any, NoReturn

from transformers import AutoConfig, AutoFeatureExtractor

from hf_unlab.modalities.running import pad_on_the_right
from hf_unlab.modalities.weights import check_overrides, load_weights
from hf_unlab.streams.messages import one_line


def read_checkpoint(name: str, config_class: type, noun: str, presets: Collection[str]) -> tuple[Any, Any]:
    """The configuration and the feature extractor of a checkpoint.

    Args:
        name: Its Hub id or path.
        config_class: What the configuration must be of, and of no class derived from it.
        noun: What such a model is called.
        presets: Names that would do as well.

    Raises:
        ValueError: There is no such checkpoint, or it is of another kind.
    """
    try:
        config, extractor = AutoConfig.from_pretrained(name), AutoFeatureExtractor.from_pretrained(name)
    except (OSError, ValueError) as error:
        _refuse_name(name, presets, error)
    if type(config) is not config_class:
        raise ValueError(f"{name!r} is a {config.model_type}, not a {noun} model.")
    pad_on_the_right(extractor)
    return config, extractor


def change_architecture(config: Any, config_overrides: str | None, *, is_new: bool) -> None:
    """Apply changes of a configuration, and refuse one that cannot be pretrained.

    Args:
        config: It is changed.
        config_overrides: "num_hidden_layers=6,hidden_size=384".
        is_new: Whether the weights are to be random.

    Raises:
        ValueError: The weights would not fit, or the model has an adapter.
    """
    check_overrides(config_overrides, is_new=is_new)
    if config_overrides:
        config.update_from_string(config_overrides)
    if config.add_adapter:
        raise ValueError("The model has an adapter, which shortens its output: targets and predictions do not match.")


def load_or_make(model_class: Any, config: Any, name: str, presets: Collection[str], *, is_new: bool) -> Any:
    """A model with random weights, or with those of a checkpoint.

    Args:
        model_class: Of transformers.
        config: Of the architecture.
        name: Hub id or path of the checkpoint.
        presets: Names that would do as well.
        is_new: Whether weights are random.

    Raises:
        ValueError: There are no weights, or they do not fit.
    """
    try:
        return model_class(config) if is_new else load_weights(model_class, name)
    except OSError as error:
        _refuse_name(name, presets, error)


def _refuse_name(name: str, presets: Collection[str], error: Exception) -> NoReturn:
    raise ValueError(
        f"There is no model {name!r}: give {', '.join(presets)}, or a checkpoint's Hub id or path, with its "
        f"feature extractor. ({one_line(error)})"
    ) from error
