"""Devices that fail, a precision that would be slow, a disk that is full; all of it without the hardware."""

import shutil
import types

import pytest
import torch

from hf_unlab.app.doctor import machine
from tests.app.doctor.helpers import detail_of


@pytest.mark.parametrize(
    "visible, cuda, warning, status, words",
    [
        ("", "13.0", "", "warning", "hidden by CUDA_VISIBLE_DEVICES"),
        ("0", None, "", "warning", "built without CUDA"),
        ("0", "13.0", "The driver is too old", "problem", "The driver is too old"),
        ("0", "13.0", "", "warning", "nvidia-smi"),
    ],
)
def test_a_gpu_that_cannot_be_used(monkeypatch, visible, cuda, warning, status, words):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    finding = machine._no_gpu(warning)
    assert finding.status == status and words in finding.detail


def test_gpus_with_their_memory(monkeypatch):
    def memory(index):
        if index:
            raise RuntimeError("CUDA error:\nuncorrectable ECC error")
        return 70 * 2**30, 80 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    monkeypatch.setattr(torch, "ones", lambda *args, device: torch.zeros(1))
    findings = list(machine.check_devices(settings_of(use_cpu=True)))
    assert detail_of("GPU 0", findings) == ("ok", "NVIDIA H100, 70 of 80 GiB free")
    status, detail = detail_of("GPU 1", findings)
    assert status == "problem" and "uncorrectable ECC error" in detail


def settings_of(**given):
    defaults = {"precision": "auto", "bf16": False, "fp16": False, "use_cpu": True, "deepspeed": None}
    return types.SimpleNamespace(**{**defaults, **given})


BY_LAUNCHER = "accelerate launch --mixed_precision bf16 (or its configuration)"


@pytest.mark.parametrize(
    "given, launched, has_bf16, status, start",
    [
        ({}, "no", True, "ok", "bf16 (the hardware has bf16, auto chooses)"),
        ({}, "no", False, "ok", "fp32 (the hardware has no bf16, auto chooses)"),
        ({"precision": "bf16"}, "no", False, "warning", "bf16 is asked for"),
        ({"bf16": True}, "no", False, "warning", "bf16 is asked for"),
        ({"precision": "fp32"}, "no", True, "ok", "fp32 (the hardware has bf16)"),
        ({}, "bf16", True, "ok", f"bf16 (the hardware has bf16, {BY_LAUNCHER} chooses)"),
        ({"precision": "fp32"}, "bf16", True, "problem", f"precision=fp32 is asked for, but {BY_LAUNCHER} says bf16"),
        ({"precision": "fp16"}, "no", True, "problem", "precision=fp16 would compute in fp32 here"),
        ({"fp16": True}, "no", True, "problem", "precision=fp16 would compute in fp32 here"),
        ({"precision": "fp32", "bf16": True}, "no", True, "problem", "precision=fp32 contradicts bf16=True"),
    ],
)
def test_precision(monkeypatch, given, launched, has_bf16, status, start):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    monkeypatch.setattr("hf_unlab.training.launch.hardware_has_bf16", lambda use_cpu: has_bf16)
    found = detail_of("precision", list(machine.check_devices(settings_of(**given))))
    assert found[0] == status and found[1].startswith(start)


def test_low_disk(monkeypatch, tmp_path):
    usage = types.SimpleNamespace(free=3 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    folder = tmp_path / "not" / "there"
    status, detail = detail_of("output folder", list(machine.check_disk(str(folder))))
    assert status == "warning" and detail.startswith(f"{folder}: only 3.0 GiB free")
    assert not folder.exists() and not folder.parent.exists()
    usage.free = 300 * 2**30
    assert {finding.status for finding in machine.check_disk(str(folder))} == {"ok"}


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    status, detail = detail_of("output folder", list(machine.check_disk(str(tmp_path / "file" / "out"))))
    assert status == "problem" and "cannot be written to" in detail


def test_no_token_and_offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    findings = list(machine.check_hub())
    assert detail_of("Hub token", findings)[1].startswith("none")
    assert "only local files" in detail_of("Hub access", findings)[1]


@pytest.mark.parametrize("offline, words", [(True, "HF_HUB_OFFLINE is set"), (False, "hf auth login")])
def test_a_run_that_could_not_push(monkeypatch, offline, words):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    status, detail = detail_of("push_to_hub", list(machine.check_hub(push_to_hub=True)))
    assert status == "problem" and words in detail
    assert "push_to_hub" not in {finding.what for finding in machine.check_hub()}
