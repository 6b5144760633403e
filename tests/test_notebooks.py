"""The notebooks are whole, hold no outputs, lead somewhere, and run from their first cell to their last."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
of_each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
# That of recordings has two stages and three rounds of clusters, however few steps they take.
QUICK = [pytest.param(name, marks=pytest.mark.slow) if name == "audio" else name for name in NOTEBOOKS]


def cells_of(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def sources_of(name, kind):
    return ["".join(cell["source"]) for cell in cells_of(name) if cell["cell_type"] == kind]


def run_notebook(name, folder, num_steps=None):
    """What all its code cells print, in a process of its own that knows nothing of Jupyter."""
    script = folder / f"{name}.py"
    script.write_text("\n\n".join(sources_of(name, "code")), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    environment.pop("HF_UNLAB_NOTEBOOK_STEPS", None)
    if num_steps:
        environment["HF_UNLAB_NOTEBOOK_STEPS"] = str(num_steps)
    process = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process.stdout


def accuracies_in(printed):
    """With ten labels a class, in %: pretrained, and the cheap baseline."""
    (found,) = re.findall(r"^pretrained ([\d.]+), [\w -]+ ([\d.]+)$", printed, re.MULTILINE)
    return tuple(map(float, found))


def test_there_is_one_for_each_kind_of_data():
    assert NOTEBOOKS == ["audio", "images", "text"]


@of_each_notebook
def test_it_is_a_notebook_of_format_4_5(name):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        more = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert cell.keys() == {"cell_type", "id", "metadata", "source", *more}
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert cell["cell_type"] in ("code", "markdown") and cell["metadata"] == {}


@of_each_notebook
def test_it_is_valid_where_nbformat_is_installed(name):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))


@of_each_notebook
def test_it_begins_with_a_title_and_holds_no_outputs(name):
    first, *rest = cells_of(name)
    assert first["cell_type"] == "markdown" and first["source"][0].startswith("# ")
    code = [cell for cell in rest if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@of_each_notebook
def test_each_code_cell_is_python_that_shows_something(name):
    for source in sources_of(name, "code"):
        compile(source, name, "exec")  # no line for the shell, none of magic
        assert re.match(r" *(print\(|plt\.show\(\))", source.splitlines()[-1]), source


@of_each_notebook
def test_its_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#]+)", "".join(sources_of(name, "markdown")))
    assert links and all((FOLDER / link).exists() for link in links if not link.startswith("http"))


@pytest.mark.parametrize("name", QUICK)
def test_it_runs_in_a_few_steps(name, tmp_path):
    printed = run_notebook(name, tmp_path, num_steps=3)
    assert min(accuracies_in(printed)) > 0
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["outputs"]


@pytest.mark.slow
@of_each_notebook
def test_in_all_its_steps_pretraining_is_ahead_of_what_is_cheap(name, tmp_path):
    pretrained, cheap = accuracies_in(run_notebook(name, tmp_path))
    assert pretrained > cheap + 2
