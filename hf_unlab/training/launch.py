"""What a launcher decides for a run: how many processes, on what, and in which precision.

`accelerate launch` speaks through the environment, FSDP and DeepSpeed through configurations of their own. What they
say and what the settings say must agree: whichever were followed, the other would be ignored in silence.
"""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import str_to_bool
from torch import nn
from transformers import TrainingArguments

PRECISIONS = ("auto", "bf16", "fp16", "fp32")
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
# accelerate's names of what cuts models and sequences into parts
_CUTS = {"tp": "tensor", "cp": "context", "sp": "sequence"}


def hardware_has_bf16(use_cpu: bool = False) -> bool:
    """Whether matrices are multiplied in bfloat16 by the hardware itself; emulation is slower than fp32.

    Args:
        use_cpu: Ask about the processor even if there is an accelerator.
    """
    if not use_cpu and torch.accelerator.is_available():
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine().lower() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def runs_on_cpu(use_cpu: bool = False) -> bool:
    """Whether a run computes on the processor: there is nothing else, or the settings or the launcher say so."""
    return use_cpu or _is_set("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def launched_precision(deepspeed: Mapping[str, Any] | str | None = None) -> tuple[str, str] | None:
    """Which precision the launcher says, and who says it; None where it leaves the choice.

    Args:
        deepspeed: The setting of that name: DeepSpeed's configuration, or its file.

    Example:
        >>> launched_precision({"bf16": {"enabled": True}})
        ('bf16', 'the DeepSpeed configuration')
    """
    if found := _of_deepspeed(deepspeed):
        return found, "the DeepSpeed configuration"
    says = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    # `no` is what the launcher says also when nobody has told it anything
    return None if says == "no" else (says, f"accelerate launch --mixed_precision {says} (or its configuration)")


def _of_deepspeed(config: Mapping[str, Any] | str | None) -> str | None:
    if config is None and _is_set("ACCELERATE_USE_DEEPSPEED"):
        config = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
    if isinstance(config, str):
        try:
            read: Mapping[str, Any] = json.loads(config if config.startswith("{") else Path(config).read_text())
        except (OSError, ValueError):
            return None  # DeepSpeed itself says what is wrong with it
    else:
        read = config or {}
    parts = {name: read.get(name) or {} for name in ("bf16", "fp16")}
    enabled = {name: str(part.get("enabled")).lower() for name, part in parts.items()}
    if set(enabled.values()) == {"false"}:
        return "fp32"
    return next((name for name, is_on in enabled.items() if is_on == "true"), None)


def asked_precision(precision: str, bf16: bool, fp16: bool) -> str:
    """The precision that settings ask for, by our name for it or by TrainingArguments' two.

    Raises:
        ValueError: They contradict each other.

    Example:
        >>> asked_precision("auto", bf16=True, fp16=False)
        'bf16'
    """
    by_name = [name for name, is_on in (("bf16", bf16), ("fp16", fp16)) if is_on]
    if len({*by_name, precision} - {"auto"}) > 1:
        raise ValueError(f"precision={precision} contradicts bf16={bf16}, fp16={fp16}: leave out all but one.")
    return by_name[0] if by_name else precision


def choose_precision(asked: str, launched: tuple[str, str] | None, *, use_cpu: bool) -> str:
    """The precision of a run: what is asked for, what the launcher says, or what the hardware is fast in.

    Args:
        asked: One of `PRECISIONS`.
        launched: As `launched_precision` tells.
        use_cpu: Whether the run is on the processor.

    Returns:
        "bf16", "fp16" or "fp32".

    Raises:
        ValueError: The two contradict each other, or it does not work there.

    Example:
        >>> choose_precision("fp32", ("bf16", "the launcher"), use_cpu=True)
        Traceback (most recent call last):
        ValueError: precision=fp32 is asked for, but the launcher says bf16: leave out one of the two.
    """
    if asked not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {asked!r}.")
    says, who = launched or (None, "")
    if says is not None and says not in PRECISIONS[1:]:
        raise ValueError(f"{who} says {says}, which these trainers have not; they have {', '.join(PRECISIONS[1:])}.")
    if asked != "auto" and says not in (None, asked):
        raise ValueError(f"precision={asked} is asked for, but {who} says {says}: leave out one of the two.")
    chosen = says if asked == "auto" else asked
    if chosen == "fp16" and use_cpu:
        asker = who if says == "fp16" else "precision=fp16"
        raise ValueError(
            f"{asker} would compute in fp32 here: there is no fp16 on a CPU. Use precision=auto, bf16 or fp32."
        )
    return chosen or ("bf16" if hardware_has_bf16(use_cpu) else "fp32")


def running_precision(accelerator: Accelerator, model: nn.Module) -> str:
    """What a model is really computed in; the accelerator knows, whoever has decided it.

    Args:
        accelerator: Of the trainer.
        model: What it trains.
    """
    policy = getattr(getattr(accelerator.state, "fsdp_plugin", None), "mixed_precision_policy", None)
    if (dtype := getattr(policy, "param_dtype", None)) is None:
        if accelerator.mixed_precision != "no":
            return str(accelerator.mixed_precision)
        dtype = next((one.dtype for one in model.parameters() if one.is_floating_point()), torch.float32)
    return _NAMES.get(dtype, str(dtype).removeprefix("torch."))


def check_running(args: TrainingArguments, accelerator: Accelerator, model: nn.Module) -> None:
    """Refuse what the accelerator, once it is there, turns out to do: all configurations have been read by then.

    Raises:
        ValueError: It computes in another precision than the settings say, or cuts models or sequences into parts.
    """
    asked = "bf16" if args.bf16 else "fp16" if args.fp16 else "no"
    if accelerator.mixed_precision != asked:
        runs, asked = (name.replace("no", "fp32") for name in (accelerator.mixed_precision, asked))
        raise ValueError(
            f"The settings say {asked}, but accelerate computes in {runs}, by its own or DeepSpeed's configuration: "
            f"give precision={runs}, or mend that configuration."
        )
    config = getattr(accelerator, "parallelism_config", None)
    sizes = {name: getattr(config, f"{name}_size", 1) for name in _CUTS}
    sizes["tp"] = max(sizes["tp"], *(getattr(model, name, None) or 1 for name in ("tp_size", "_tp_size")))
    _refuse_cuts(sizes)


def check_launch(args: TrainingArguments) -> None:
    """Refuse what a launcher is told and these trainers cannot do.

    Raises:
        ValueError: Models or sequences are cut into parts, or compiled.
    """
    by_launcher = _is_set("ACCELERATE_USE_PARALLELISM_CONFIG")
    config = args.parallelism_config
    sizes = {name: getattr(config, f"{name}_size", 1) for name in _CUTS}
    if config is None and by_launcher:
        sizes = {name: int(os.environ.get(f"PARALLELISM_CONFIG_{name.upper()}_SIZE", 1)) for name in _CUTS}
    _refuse_cuts(sizes)
    if _is_set("ACCELERATE_USE_MEGATRON_LM"):
        raise ValueError("These trainers do not run under Megatron-LM: launch with --multi_gpu, FSDP or DeepSpeed.")
    if (backend := os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower()) != "no":
        raise ValueError(
            f"accelerate launch --dynamo_backend {backend} (or its configuration) compiles the model, which does not "
            "work with these trainers: launch with --dynamo_backend no."
        )


def _refuse_cuts(sizes: Mapping[str, int]) -> None:
    if cuts := {_CUTS[name]: size for name, size in sizes.items() if size > 1}:
        name, size = next(iter(cuts.items()))
        raise ValueError(
            f"{name} parallelism (of {size} processes) does not work with these trainers, whose processes each read "
            "data of their own: leave it out. Large models are shared out by FSDP or DeepSpeed."
        )


def check_world_size(args: TrainingArguments) -> None:
    """Refuse a launch in which every process would train alone.

    Raises:
        ValueError: WORLD_SIZE and Trainer disagree, or Trainer would use DataParallel.
    """
    launched = os.environ.get("WORLD_SIZE")
    if launched is None and {"MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"} <= os.environ.keys():
        # `accelerate launch --cpu --num_processes 2` without MPI sets an address to meet at and starts one process
        launched = "several"
    if launched is not None and launched != str(args.world_size):
        raise ValueError(
            f"{launched} processes were asked for, but Trainer sees {args.world_size}: each would train "
            "alone. On CPUs use `accelerate launch --multi_gpu --num_processes N SCRIPT --use_cpu true`, or torchrun."
        )
    if args.n_gpu > 1:
        raise ValueError(
            f"One process sees {args.n_gpu} GPUs. Launch one process a GPU (`accelerate launch --num_processes "
            f"{args.n_gpu} SCRIPT`), or show it one (`CUDA_VISIBLE_DEVICES=0`)."
        )


def _is_set(variable: str) -> bool:
    return bool(str_to_bool(os.environ.get(variable, "false") or "false"))
