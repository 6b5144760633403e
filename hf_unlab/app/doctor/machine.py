"""What the machine offers a run; torch is imported inside the checks, since a broken one is a finding too."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_unlab.app.doctor.findings import Finding, count, guard
from hf_unlab.streams.cores import num_cores

LOW_DISK_GIB = 10  # some checkpoints of a base-sized model with its optimizer, 2 GiB each, or a download
_GIB = 2**30


def check_devices(settings: Any = None) -> Iterator[Finding]:
    """GPUs, processor, and the precision that a run would compute in.

    Args:
        settings: The recipe's, if any are known: `precision`, `bf16`, `fp16`, `use_cpu` and `deepspeed` are looked at.
    """
    import torch

    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver that is too old
        warnings.simplefilter("always")
        has_cuda, accelerator = torch.cuda.is_available(), torch.accelerator.current_accelerator(check_available=True)
    if has_cuda:
        for index in range(torch.cuda.device_count()):
            yield from guard(f"GPU {index}", _check_gpu, index)
    elif accelerator is not None:
        yield Finding("ok", "accelerator", accelerator.type)
    else:
        yield _no_gpu(" ".join(str(warning.message) for warning in caught))
    hint = " (accelerate launch: one, unless --num_cpu_threads_per_process says more)" * (accelerator is None)
    cores, threads = count(num_cores(), "core"), count(torch.get_num_threads(), "thread")
    yield Finding("ok", "CPU", f"{cores}, torch uses {threads}{hint}")
    yield _check_precision(settings)


def _check_gpu(index: int) -> Iterator[Finding]:
    import torch

    name, (free, total) = torch.cuda.get_device_name(index), torch.cuda.mem_get_info(index)
    torch.ones(1, device=f"cuda:{index}").add(1).item()  # a kernel that this build lacks for the GPU fails here
    yield Finding("ok", f"GPU {index}", f"{name}, {free / _GIB:.0f} of {total / _GIB:.0f} GiB free")


def _no_gpu(warning: str) -> Finding:
    """Why there is none: no driver either, hidden, a build without CUDA, or a driver that does not fit."""
    import torch

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not (Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")):
        return Finding("ok", "GPU", "none; runs use the CPU")
    if hidden in ("", "-1"):
        reason, warning = f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}", ""
    elif torch.version.cuda is None:
        reason = f"there is an NVIDIA driver, but torch {torch.__version__} is built without CUDA"
    else:
        why = warning or "nvidia-smi tells whether there is one"
        reason = f"torch, built for CUDA {torch.version.cuda}, finds none behind the NVIDIA driver ({why})"
    return Finding("problem" if warning else "warning", "GPU", f"{reason}; runs use the CPU")


def _check_precision(settings: Any) -> Finding:
    from hf_unlab.training import launch

    use_cpu = launch.runs_on_cpu(settings is not None and settings.use_cpu)
    launched = launch.launched_precision(settings and settings.deepspeed)
    try:
        asked = launch.asked_precision(settings.precision, settings.bf16, settings.fp16) if settings else "auto"
        chosen = launch.choose_precision(asked, launched, use_cpu=use_cpu)
    except ValueError as error:
        return Finding("problem", "precision", str(error))
    has_bf16 = launch.hardware_has_bf16(use_cpu)
    hardware = f"the hardware {'has' if has_bf16 else 'has no'} bf16"
    if chosen == "bf16" and not has_bf16:
        detail = f"bf16 is asked for, but {hardware}: emulated, it is slower than fp32; leave it at auto"
        return Finding("warning", "precision", detail)
    who = f", {launched[1]} chooses" if launched else ", auto chooses" if asked == "auto" else ""
    return Finding("ok", "precision", f"{chosen} ({hardware}{who})")


def check_disk(output_dir: str | None = None) -> Iterator[Finding]:
    """Free space where checkpoints (by default the current folder) and downloads go; the folders need not exist."""
    from huggingface_hub import constants

    for what, folder in (("output folder", output_dir or "."), ("HF_HOME", constants.HF_HOME)):
        path = Path(folder).expanduser().absolute()
        existing = next(one for one in (path, *path.parents) if one.exists())
        free = shutil.disk_usage(existing).free / _GIB
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            yield Finding("problem", what, f"{path} cannot be written to; choose another folder")
        elif free < LOW_DISK_GIB:
            yield Finding("warning", what, f"{path}: only {free:.1f} GiB free; checkpoints and downloads may not fit")
        else:
            yield Finding("ok", what, f"{path}: {free:,.0f} GiB free")


def check_hub(push_to_hub: bool = False) -> Iterator[Finding]:
    """Whether there is a token, and whether the Hub may be asked at all. Nothing is sent, the token is not shown."""
    from huggingface_hub import constants, get_token

    if push_to_hub and (constants.HF_HUB_OFFLINE or not get_token()):
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "there is no token: hf auth login"
        yield Finding("problem", "push_to_hub", f"{reason}; or leave it out and publish behind the training")
    has_token = "present (neither shown nor tried)"
    yield Finding("ok", "Hub token", has_token if get_token() else "none; private data and publishing need it")
    offline = "HF_HUB_OFFLINE is set: only local files and the cache are read"
    yield Finding("ok", "Hub access", offline if constants.HF_HUB_OFFLINE else "allowed (HF_HUB_OFFLINE is not set)")
