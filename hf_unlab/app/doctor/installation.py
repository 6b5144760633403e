"""Whether the installed packages are there, new enough, and fit together."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from hf_unlab.app.doctor.findings import Finding

# The packages whose versions decide most; the other requirements share a line.
MAIN_PACKAGES = (
    *("torch", "torchvision", "transformers", "datasets", "accelerate"),
    *("peft", "evaluate", "open-clip-torch", "huggingface-hub"),
)

EXTRAS = ("audio", "image")


def environment() -> dict[str, str]:
    """What a report of a fault should say, by name: versions, the system, what is computed on.

    Example:
        >>> list(environment())[:2]
        ['hf-unlab', 'python']
    """
    from hf_unlab.modalities.running import default_device
    from hf_unlab.training.run_facts import hardware, versions

    found = versions(["hf-unlab", *MAIN_PACKAGES])
    return {
        "hf-unlab": found.pop("hf-unlab", "not installed"),
        "python": platform.python_version(),
        **found,
        "system": platform.platform(),
        "computes on": hardware(default_device()),
    }


def check_packages() -> Iterator[Finding]:
    """Versions of python and of what hf-unlab requires, against the floors of the package's own metadata."""
    yield Finding("ok", "python", f"{platform.python_version()} ({sys.executable})")
    try:
        lines = importlib.metadata.requires("hf-unlab") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed: the floors are not known
        lines = list(MAIN_PACKAGES)
    asked = [(one, _extra_of(one)) for one in map(Requirement, lines)]
    found = {canonicalize_name(one.name): _check_package(one, extra) for one, extra in asked if extra is not None}
    others = {name for name, finding in found.items() if finding.status == "ok" and name not in MAIN_PACKAGES}
    order = sorted(found.keys() - others, key=lambda name: ((*MAIN_PACKAGES, name).index(name), name))
    yield from (found[name] for name in order)
    yield Finding("ok", "other packages", f"{len(others)}, none missing or too old")


def _extra_of(requirement: Requirement) -> str | None:
    """The extra that asks for it; "" where every installation does, None where nobody does here."""
    marker = requirement.marker
    return next((extra for extra in ("", *EXTRAS) if not marker or marker.evaluate({"extra": extra})), None)


def _check_package(requirement: Requirement, extra: str) -> Finding:
    name, needs = canonicalize_name(requirement.name), requirement.specifier
    mend = f"{sys.executable} -m pip install '{name}{needs}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if extra:
            return Finding("warning", name, f"is missing; recipes of {extra} need it: pip install 'hf-unlab[{extra}]'")
        return Finding("problem", name, f"is missing: {mend}")
    if not needs.contains(version, prereleases=True):
        return Finding("problem", name, f"{version}, but {needs} is needed: {mend}")
    return Finding("ok", name, f"{version} (needs {needs})" if needs else version)


def check_torchvision() -> Iterator[Finding]:
    """Whether torchvision was built for this torch: by its metadata, and by importing it in a process of its own."""
    try:
        requirements = map(Requirement, importlib.metadata.requires("torchvision") or [])
    except importlib.metadata.PackageNotFoundError:
        return  # of the extra `image`; that it is missing is said with the packages
    mend = "Install both anew from one index: pip install --force-reinstall torch torchvision"
    # A crash in there cannot hurt. -P: the current folder is no place to import from, as for `hf-unlab` itself.
    command = [sys.executable, "-P", "-W", "ignore", "-c", "import torchvision"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    needed = next((one.specifier for one in requirements if one.name == "torch"), SpecifierSet())
    version = importlib.metadata.version("torch")
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        yield Finding("problem", "torch+torchvision", f"import torchvision fails: {last}. {mend}")
    elif not needed.contains(version, prereleases=True):
        yield Finding("warning", "torch+torchvision", f"torchvision wants torch{needed}, not {version}. {mend}")
    else:
        yield Finding("ok", "torch+torchvision", "fit together (imported)")
