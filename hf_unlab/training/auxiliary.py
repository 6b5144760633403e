"""Modules that train beside the model and are never published: teachers, queues, projection heads, codebooks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

FILE_NAME = "_auxiliary.safetensors"


class AuxiliaryModules(nn.ModuleDict):
    """They are saved in checkpoints and resumed; those with gradients are optimised, alike on every rank.

    Args:
        modules: By name.

    Raises:
        KeyError: As nn.ModuleDict's, for names that cannot be an attribute, or are one already.

    Example:
        >>> import tempfile
        >>> one, other = (AuxiliaryModules({"head": nn.Linear(2, 2)}) for _ in range(2))
        >>> folder = Path(tempfile.mkdtemp())
        >>> one.save(folder); other.load(folder)
        >>> torch.equal(one["head"].weight, other["head"].weight)
        True
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__(dict(modules))

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that get a gradient."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """For an optimizer: matrices and kernels decayed, biases, norms and scalars not."""
        groups = [
            {"params": [one for one in self.trained if one.ndim >= 2], "weight_decay": weight_decay},
            {"params": [one for one in self.trained if one.ndim < 2], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def check(self, *, is_sharded: bool) -> None:
        """Refuse what would train on one rank alone.

        Raises:
            ValueError: The model is sharded (FSDP, ZeRO), and some of these modules have gradients.
        """
        if is_sharded and self.trained:
            raise ValueError(
                f"The auxiliary modules ({', '.join(self)}) have gradients, which FSDP and ZeRO do not share between "
                "ranks: run this objective on DDP."
            )

    def make_alike(self) -> None:
        """Give all ranks what the first has, as DDP does with the model; every rank must call it, before a run."""
        if _is_distributed():
            for tensor in self.state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def share_gradients(self) -> None:
        """The mean over ranks, as DDP makes it of the model's; every rank must call it, once a step."""
        if not _is_distributed():
            return
        for parameter in self.trained:
            if parameter.grad is None:  # this rank had nothing for it, others perhaps
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= torch.distributed.get_world_size()

    def save(self, folder: Path) -> None:
        """Into a checkpoint."""
        if len(self):
            # copies: safetensors refuses tensors that share memory, such as a teacher's tied embeddings
            state = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in self.state_dict().items()}
            save_file(state, folder / FILE_NAME)

    def load(self, folder: Path) -> None:
        """From a checkpoint.

        Raises:
            ValueError: It holds none, or others.
        """
        if not len(self):
            return
        try:
            self.load_state_dict(load_file(folder / FILE_NAME))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"{folder} holds no {', '.join(self)} of this objective: {error}") from error


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
