"""Learning rates of a fit on labels: by the size of a model, its layers, and its head."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

# On models of a few layers 1e-3 was best or nearly so, on texts, recordings and images; BERT's authors take 5e-5.
SMALL_RATE, LEAST_RATE, BERT_RATE, BERT_SIZE = 1e-3, 1e-5, 5e-5, 110_000_000


def suitable_rate(num_parameters: int) -> float:
    """The peak rate of a fit of all weights: 1e-3 up to 5 M of them, 5e-5 at BERT's size, and never under 1e-5.

    Example:
        >>> suitable_rate(100_000), suitable_rate(110_000_000), suitable_rate(10**9)
        (0.001, 5e-05, 1e-05)
    """
    return max(LEAST_RATE, min(SMALL_RATE, BERT_RATE * BERT_SIZE / max(1, num_parameters)))


def rates_by_layer(
    names: Iterable[str], head: Sequence[str], rate: float, head_rate: float, decay: float = 1.0
) -> dict[str, float]:
    """The peak rate of each parameter: lower the farther its layer is from the output.

    Layers are told by the numbers in the names, in the order of the names, which is that of the forward pass in all
    but exotic models: what stands before the first number is below the first layer, what stands behind the last is
    with the last. ULMFiT (Howard and Ruder 2018, https://huggingface.co/papers/1801.06146) calls it discriminative
    fine-tuning.

    Args:
        names: Of the parameters, as `named_parameters` orders them.
        head: Names of modules whose parameters get `head_rate`.
        rate: Of the last layer.
        head_rate: Of the head.
        decay: From a layer to the one below it; 1: all have one rate.

    Example:
        >>> names = ["words.weight", "layer.0.weight", "layer.0.bias", "layer.1.weight", "norm.bias", "head.weight"]
        >>> rates_by_layer(names, ["head"], 1.0, 3.0, 0.5)["words.weight"]
        0.25
        >>> list(rates_by_layer(names, ["head"], 1.0, 3.0, 0.5).values())[1:]
        [0.5, 0.5, 1.0, 1.0, 3.0]
    """
    depth, last, depths = 0, None, {}
    for name in names:
        if not is_within(name, head):
            layer = _layer_of(name)
            if layer is not None and layer != last:
                depth, last = depth + 1, layer
            depths[name] = depth
        else:
            depths[name] = -1
    return {name: head_rate if at < 0 else rate * decay ** (depth - at) for name, at in depths.items()}


def groups_of(model: nn.Module, rates: Mapping[str, float], weight_decay: float) -> list[dict[str, Any]]:
    """An optimiser's groups of the parameters that are trained; those of one dimension are not decayed.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> [(group["lr"], group["weight_decay"]) for group in groups_of(model, {"weight": 1.0, "bias": 2.0}, 0.1)]
        [(1.0, 0.1), (2.0, 0.0)]
    """
    groups = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[rates[name], weight_decay if parameter.ndim >= 2 else 0.0].append(parameter)
    return [{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()]


def is_within(name: str, modules: Sequence[str]) -> bool:
    """Whether a parameter, by its name, lies in one of some modules; wrappers may have put names before theirs.

    Example:
        >>> is_within("base_model.model.head.1.weight", ["head.1"]), is_within("overhead.1.weight", ["head.1"])
        (True, False)
    """
    return any(f".{module}." in f".{name}" for module in modules)


def _layer_of(name: str) -> str | None:
    """The name as far as its first number."""
    parts = name.split(".")
    at = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return None if at is None else ".".join(parts[: at + 1])
