"""energy.py: counters where there are any, an honest range where not."""

import time

import pytest
import torch

from hf_unlab.training import energy
from hf_unlab.training.energy import EnergyMeter

LIMIT = 1000


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """Two processors, one of them with a part that is counted in it."""
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "max_energy_range_uj").write_text(str(LIMIT - 1))
        (tmp_path / name / "energy_uj").write_text("100")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


def test_counters_are_read_and_may_wrap(counters):
    meter = EnergyMeter(2, counters)
    (counters / "intel-rapl:0" / "energy_uj").write_text("40")  # it went round once
    (counters / "intel-rapl:1" / "energy_uj").write_text("150")
    (counters / "intel-rapl:0:0" / "energy_uj").write_text("999")
    joules = (LIMIT - 60 + 50) / 1e6 * 2
    assert meter.joules() == pytest.approx((joules, joules))
    assert meter.how == "processors by their counters (RAPL); one machine's times 2"


@pytest.mark.parametrize("content", [None, "no number"])
def test_without_counters_it_is_a_range_with_its_formula(counters, monkeypatch, content):
    for path in counters.glob("*/energy_uj"):
        path.unlink() if content is None else path.write_text(content)
    times = iter([0.0, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    meter = EnergyMeter(folder=counters)
    assert meter.joules() == pytest.approx([10 * watts for watts in energy.CORE_WATTS])
    assert meter.how == "processors estimated: seconds x 1 core(s) x 3 to 12 W"


def test_gpus_by_their_counters_or_by_a_formula(counters, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    values = iter([5.0, 12.0])
    monkeypatch.setattr(energy, "_gpus", lambda: ["a handle"])
    monkeypatch.setattr(energy, "_gpu_joules", lambda handles: next(values) if handles else None)
    meter = EnergyMeter(folder=counters)
    assert meter.joules() == pytest.approx((7, 7)) and "GPUs by their counters (NVML)" in meter.how
    monkeypatch.setattr(energy, "_gpus", list)
    times = iter([0.0, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    meter = EnergyMeter(folder=counters)
    assert meter.joules() == pytest.approx([20 * watts for watts in energy.GPU_WATTS])
    assert "GPUs estimated: seconds x 2 x 70 to 700 W" in meter.how
