"""How the benchmarks measure: twins in turn, the median of several rounds."""

import platform
import statistics
import time
from collections.abc import Callable

import torch
import transformers

DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def describe_machine() -> str:
    """Hardware and versions, for beside the figures."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{device} ({platform.machine()}), torch {torch.__version__}, transformers {transformers.__version__}"


def seconds_each(twins: dict[str, Callable[[], None]], rounds: int = 7, warm_up: bool = True) -> dict[str, float]:
    """Median seconds of each twin; they alternate, so that a slow spell of the machine hits all alike."""
    for run in twins.values() if warm_up else ():
        run()
    times: dict[str, list[float]] = {name: [] for name in twins}
    for _ in range(rounds):
        for name, run in twins.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def report(title: str, rates: dict[str, float], unit: str) -> None:
    """Print rates, and their ratio to the first."""
    print(f"\n{title}")
    baseline = next(iter(rates.values()))
    for name, rate in rates.items():
        print(f"  {name:<44}{rate:>12,.0f} {unit:<10} x {rate / baseline:.2f}")
