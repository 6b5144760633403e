"""Any architecture or checkpoint of open_clip as a `DualEncoder`, saved as open_clip wants it."""

import copy
import json
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hf_unlab.modalities.image_text.dual_encoder import DualEncoder, Preprocessing, Tokenise
from hf_unlab.streams.extras import of_extras

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"


class OpenClipTokenise(Tokenise):
    """open_clip's tokenizer of a model; it pads to the context length and makes no mask."""

    def __init__(self, tokenizer: Callable[[list[str]], torch.Tensor]) -> None:
        self.tokenizer = tokenizer
        self.context_length = tokenizer.context_length  # type: ignore[attr-defined]

    def __call__(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """`input_ids` (B, T) int64."""
        return {"input_ids": self.tokenizer(texts)}


class OpenClipDualEncoder(DualEncoder):
    """A model of open_clip.

    Args:
        model: From `open_clip.create_model`.
        config: Its `model_cfg`, as it is saved.
        tokenizer: From `open_clip.get_tokenizer`.
    """

    def __init__(
        self, model: nn.Module, config: dict[str, Any], tokenizer: Callable[[list[str]], torch.Tensor]
    ) -> None:
        super().__init__(model, _preprocessing(model), OpenClipTokenise(tokenizer))
        self.model_cfg = config  # not `config`: Trainer would take it for one of transformers'

    @property
    def image_tower(self) -> nn.Module:
        """open_clip's `visual`."""
        return self.model.visual

    def image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """As `model.encode_image` gives them."""
        return self.model.encode_image(pixel_values)

    def pooled_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """timm's trunk, or a vision transformer without its `proj`; of others what the tower gives."""
        visual = self.model.visual
        if hasattr(visual, "trunk"):
            return visual.trunk(pixel_values)
        if isinstance(getattr(visual, "proj", None), nn.Parameter):
            projection, visual.proj = visual.proj, None
            try:
                return visual(pixel_values)
            finally:
                visual.proj = projection
        return visual(pixel_values)

    def text_features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """As `model.encode_text` gives them; open_clip finds the padding by itself."""
        return self.model.encode_text(input_ids)

    def _lock_image_weights(self) -> None:
        self.model.lock_image_tower()

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Every block of the towers, as open_clip does it (never reentrant)."""
        asked = {name: value for name, value in (activation_checkpointing_kwargs or {}).items() if value is not None}
        if every_n_layers != 1 or offload or asked not in ({}, {"use_reentrant": False}):
            raise ValueError(
                f"open_clip checkpoints every block, not reentrant, without options; given were {asked}, "
                f"every_n_layers={every_n_layers} and offload={offload}. Leave them out."
            )
        self.model.set_grad_checkpointing(True)

    def save_pretrained(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Save what `open_clip.create_model_and_transforms("local-dir:FOLDER")` and its tokenizer load."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._library_weights(state_dict), folder / WEIGHTS_NAME, metadata={"format": "pt"})
        told = ("mean", "std", "interpolation", "resize_mode")
        preprocessing = {name: self.model.visual.preprocess_cfg[name] for name in told}
        content = {"model_cfg": self.model_cfg, "preprocess_cfg": preprocessing}
        (folder / CONFIG_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        save_tokenizer = getattr(self.tokenize.tokenizer, "save_pretrained", None)  # type: ignore[attr-defined]
        if save_tokenizer is not None:  # CLIP's own is part of open_clip
            save_tokenizer(str(folder))

    def load_weights(self, folder: str | Path) -> None:
        """Take the weights that `save_pretrained` wrote."""
        path = Path(folder) / WEIGHTS_NAME
        if not path.is_file():
            raise ValueError(f"{folder} holds no {WEIGHTS_NAME}: it is no checkpoint of this model.")
        try:
            self.model.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise ValueError(f"The weights in {folder} are of another architecture: {_in_a_line(error)}") from error


def load(
    name: str,
    image_size: int | None = None,
    patch_dropout: float = 0.0,
    *,
    with_bias: bool = False,
    from_scratch: bool = False,
) -> OpenClipDualEncoder:
    """A model of open_clip, in fp32.

    Args:
        name: An architecture, `hf-hub:...`, or a folder (`local-dir:` before it is allowed).
        image_size: Pixels of a side, in place of the model's own.
        patch_dropout: Share of the patches left out in training; not saved.
        with_bias: Give the logits a bias if they have none.
        from_scratch: Random weights, even if it is a checkpoint.

    Raises:
        ValueError: It cannot be found, cannot be trained by contrast alone, or has no patches to drop.
    """
    with of_extras():
        import open_clip

    if Path(name).is_dir():
        name = f"local-dir:{name}"
    if ":" not in name and name not in open_clip.list_models():
        raise ValueError(
            f"open_clip has no architecture {name!r}, and there is no such folder. Take one of "
            "open_clip.list_models() (such as ViT-B-32), 'open_clip:hf-hub:ORGANISATION/NAME', or a folder with an "
            f"{CONFIG_NAME}."
        )
    try:
        config = copy.deepcopy(open_clip.get_model_config(name))
        if "multimodal_cfg" in config:
            raise ValueError("it is a CoCa: its captioning decoder would get no gradient")
        if image_size is not None:
            config["vision_cfg"]["image_size"] = image_size
        options = {}
        if with_bias and config.get("init_logit_bias") is None:
            options["init_logit_bias"] = config["init_logit_bias"] = -10.0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="timm")  # its registry warns of names of old
            model = open_clip.create_model(
                name,
                load_weights=not from_scratch,
                require_pretrained=":" in name and not from_scratch,  # else a folder without weights is a random model
                force_image_size=image_size,
                force_patch_dropout=patch_dropout or None,
                **options,
            )
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"open_clip cannot make the model {name!r}: {_in_a_line(error)}") from error
    if patch_dropout and not any(type(module).__name__.startswith("PatchDropout") for module in model.modules()):
        raise ValueError(f"patch_dropout={patch_dropout}: the image tower of {name!r} has no patches to drop.")
    return OpenClipDualEncoder(model, config, tokenizer)


def _in_a_line(error: Exception) -> str:
    """torch names each missing weight, on lines of their own."""
    return textwrap.shorten(str(error), 400, placeholder=" ...")


def _preprocessing(model: nn.Module) -> Preprocessing:
    told = model.visual.preprocess_cfg
    size = told["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ValueError(f"The model wants images of {height} x {width} pixels; only square ones are made here.")
    return Preprocessing(height, tuple(told["mean"]), tuple(told["std"]), told["interpolation"], told["resize_mode"])
