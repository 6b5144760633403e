"""The wheel holds what people run, works from anywhere, and importing the package changes nothing."""

import ast
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hf_unlab
from hf_unlab._moved import NAMES

ROOT = Path(__file__).resolve().parent.parent


def run_python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    process = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


def info_folder(wheel: Path) -> str:
    return "-".join(wheel.name.split("-")[:2]) + ".dist-info"


def test_the_wheel_ships_package_recipes_and_model_cards(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {"hf_unlab/__init__.py", "hf_unlab/py.typed"}
    shipped |= {f"hf_unlab/app/report/page.{kind}" for kind in ("html", "css")}
    for folder, pattern in (("recipes", "*.yaml"), ("recipes", "*.py"), ("model_cards", "*")):
        files = [path for path in (ROOT / folder).rglob(pattern) if path.is_file() and "__pycache__" not in path.parts]
        shipped |= {f"hf_unlab/_shipped/{path.relative_to(ROOT).as_posix()}" for path in files}
    assert "hf_unlab/_shipped/recipes/masked_lm/tiny.yaml" in shipped
    assert shipped <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"hf_unlab", info_folder(wheel)}


def test_the_wheel_s_metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    info = info_folder(wheel)
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "hf-unlab = hf_unlab.app.cli:app" in archive.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in archive.namelist()


def test_an_installed_wheel_finds_its_own_recipes(wheel, tmp_path):
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel)]
    run_python("-m", "pip", *install, cwd=elsewhere)
    # PYTHONPATH stands before site-packages, and so before the path that an editable install adds there.
    code = "from hf_unlab.hub.resources import recipe_path; print(recipe_path('masked_lm', 'tiny.yaml'))"
    found = Path(run_python("-c", code, cwd=elsewhere, path=target).strip())
    assert found.is_file()
    assert found.is_relative_to(target)


def test_importing_the_package_changes_nothing(tmp_path):
    code = (
        "import os, sys; before = dict(os.environ); import hf_unlab, hf_unlab.hub.resources;"
        "assert dict(os.environ) == before;"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    run_python("-W", "error", "-c", code, cwd=tmp_path, path=ROOT)


def imported_names(path):
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {alias.asname for node in nodes for alias in node.names if alias.asname}


def test_the_public_names_agree():
    """The tables that import lazily, and the imports that type checkers see, hold the same names."""
    root = Path(hf_unlab.__file__)
    seen = imported_names(root) | imported_names(root.parent / "objectives" / "__init__.py")
    assert sorted(seen) == hf_unlab.__all__ == sorted(hf_unlab._MODULES)


def test_old_import_paths_warn_and_name_the_version_that_removes_them():
    for module, names in NAMES.items():
        for name in names:
            with pytest.warns(FutureWarning, match=rf"ends in version 0\.3: write `from hf_unlab import {name}`"):
                assert getattr(importlib.import_module(module), name) is getattr(hf_unlab, name)
    with pytest.raises(AttributeError, match="it has moved"):
        getattr(importlib.import_module("hf_unlab.data.sources"), "open_streams")  # noqa: B009


@pytest.mark.parametrize("name", hf_unlab.__all__)
def test_each_public_name_resolves(name):
    assert getattr(hf_unlab, name).__name__ == name
    assert name in dir(hf_unlab)


def test_an_unknown_name_says_what_is_offered():
    with pytest.raises(AttributeError, match=r"it offers .*PretrainingTrainer"):
        hf_unlab.Trainer  # noqa: B018
