"""What is missing, too old or built for another torch is named, with the line that mends it."""

import importlib.metadata
import subprocess
import types

import pytest

from hf_unlab.app.doctor import installation
from tests.app.doctor.helpers import detail_of


@pytest.fixture
def set_versions(monkeypatch):
    """Replaces the versions of installed packages; None takes the package away."""
    real = importlib.metadata.version

    def set_to(**versions):
        def version(name):
            found = versions.get(name.replace("-", "_"), "")
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found or real(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return set_to


def test_this_installation_fits():
    findings = list(installation.check_packages())
    assert {finding.status for finding in findings} == {"ok"}
    assert [finding.what for finding in findings[:3]] == ["python", "torch", "torchvision"]
    assert "needs >=2.11" in detail_of("torch", findings)[1]


def test_floors_are_the_package_s_own_and_a_local_version_fits(set_versions):
    set_versions(torch="2.10.1", transformers="5.23.0", datasets="5.2.0+cpu", open_clip_torch="4.0")
    findings = list(installation.check_packages())
    status, detail = detail_of("torch", findings)
    assert status == "problem" and "2.10.1" in detail and "-m pip install 'torch>=2.11'" in detail
    assert detail_of("transformers", findings)[0] == detail_of("datasets", findings)[0] == "ok"
    assert detail_of("open-clip-torch", findings)[0] == "problem"


def test_a_missing_package_is_named_with_the_pip_line(set_versions):
    set_versions(peft=None, soxr=None)
    findings = list(installation.check_packages())
    status, detail = detail_of("peft", findings)
    assert status == "problem" and "-m pip install 'peft>=0.18'" in detail
    status, detail = detail_of("soxr", findings)  # of an extra, which not everybody needs
    assert status == "warning" and "pip install 'hf-unlab[audio]'" in detail


def test_a_checkout_that_is_not_installed(monkeypatch):
    def not_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", not_installed)
    findings = list(installation.check_packages())
    assert {finding.status for finding in findings} == {"ok"}
    assert detail_of("torch", findings)[1] == importlib.metadata.version("torch")


@pytest.mark.slow
def test_torchvision_fits_torch():
    assert [finding.status for finding in installation.check_torchvision()] == ["ok"]


def test_torchvision_that_does_not_fit(monkeypatch, set_versions):
    set_versions(torch="2.1.0")
    result = types.SimpleNamespace(returncode=0, stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: result)
    (built_for_another,) = installation.check_torchvision()
    assert built_for_another.status == "warning" and "not 2.1.0" in built_for_another.detail
    result.returncode, result.stderr = 1, "...\nRuntimeError: operator torchvision::nms does not exist"
    (broken,) = installation.check_torchvision()
    assert broken.status == "problem"
    assert "nms does not exist" in broken.detail and "--force-reinstall torch torchvision" in broken.detail


def test_without_torchvision_nothing_is_said_of_how_it_fits(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert not list(installation.check_torchvision())
