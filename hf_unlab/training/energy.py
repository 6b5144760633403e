"""What a run costs in energy: the machine's counters where they can be read, else an estimate by a formula."""

import importlib.util
import os
import time
from pathlib import Path
from typing import Any

import torch

RAPL = Path("/sys/class/powercap")  # https://docs.kernel.org/power/powercap/powercap.html
CORE_WATTS = (3.0, 12.0)  # of a core that computes, with its share of caches and memory
GPU_WATTS = (70.0, 700.0)  # an L4's limit and an H100's


class EnergyMeter:
    """Counts from when it is made.

    Args:
        num_nodes: Machines that do as much as this one, by which all is multiplied.
        folder: Of the kernel's counters of processors.

    Example:
        >>> low, high = EnergyMeter().joules()
        >>> 0 <= low <= high
        True
    """

    def __init__(self, num_nodes: int = 1, folder: Path = RAPL) -> None:
        self._num_nodes, self._folder = num_nodes, folder
        self._begin, self._start = time.perf_counter(), _packages(folder)
        self._gpus = _gpus()
        self._gpu_start = _gpu_joules(self._gpus)

    def joules(self) -> tuple[float, float]:
        """The lowest and the highest that it can have been."""
        seconds = time.perf_counter() - self._begin
        cpu = self._cpu(seconds)
        gpu = self._gpu(seconds)
        return (cpu[0] + gpu[0]) * self._num_nodes, (cpu[1] + gpu[1]) * self._num_nodes

    @property
    def how(self) -> str:
        """Which counters are read, or the formula of the estimate."""
        if self._start:
            parts = ["processors by their counters (RAPL)"]
        else:
            low, high = CORE_WATTS
            parts = [f"processors estimated: seconds x {_num_cores()} core(s) x {low:g} to {high:g} W"]
        if self._gpu_start is not None:
            parts.append("GPUs by their counters (NVML)")
        elif torch.cuda.is_available():
            low, high = GPU_WATTS
            parts.append(f"GPUs estimated: seconds x {torch.cuda.device_count()} x {low:g} to {high:g} W")
        if self._num_nodes > 1:
            parts.append(f"one machine's times {self._num_nodes}")
        return "; ".join(parts)

    def _cpu(self, seconds: float) -> tuple[float, float]:
        now = _packages(self._folder)
        if self._start and now.keys() == self._start.keys():
            used = sum((now[name][0] - before) % (now[name][1] + 1) for name, (before, _) in self._start.items()) / 1e6
            return used, used
        low, high = (seconds * _num_cores() * watts for watts in CORE_WATTS)
        return low, high

    def _gpu(self, seconds: float) -> tuple[float, float]:
        now = _gpu_joules(self._gpus)
        if self._gpu_start is not None and now is not None:
            return now - self._gpu_start, now - self._gpu_start
        num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return seconds * num_gpus * GPU_WATTS[0], seconds * num_gpus * GPU_WATTS[1]


def _num_cores() -> int:
    """Cores that this process and its like may use."""
    threads = torch.get_num_threads() * int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    return min(threads, os.cpu_count() or 1)


def _packages(folder: Path) -> dict[str, tuple[int, int]]:
    """Microjoules of each processor so far, and where its counter wraps; nothing where they cannot be read."""
    found = {}
    try:
        for package in sorted(folder.glob("intel-rapl:*")):
            if package.name.count(":") == 1:  # a second one marks a part of a processor, which is counted in it
                values = [int((package / name).read_text()) for name in ("energy_uj", "max_energy_range_uj")]
                found[package.name] = (values[0], values[1])
    except (OSError, ValueError):
        return {}  # often root's alone
    return found


def _gpus() -> list[Any]:
    """NVML's handles of the GPUs that torch sees, if its Python package is there."""
    if not torch.cuda.is_available() or importlib.util.find_spec("pynvml") is None:
        return []
    import pynvml  # type: ignore[import-not-found]

    try:
        pynvml.nvmlInit()
        names = [torch.cuda.get_device_properties(index).uuid for index in range(torch.cuda.device_count())]
        return [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{name}".encode()) for name in names]
    except (pynvml.NVMLError, AttributeError):
        return []


def _gpu_joules(handles: list[Any]) -> float | None:
    if not handles:
        return None
    import pynvml

    try:
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1e3
    except pynvml.NVMLError:
        return None
