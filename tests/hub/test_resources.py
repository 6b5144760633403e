"""resources.py: the checkout's files, and errors that name what exists."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hf_unlab.hub import resources

ROOT = Path(__file__).resolve().parents[2]


def test_a_checkout_s_own_files_are_found():
    assert resources.recipe_path() == ROOT / "recipes"
    assert resources.recipe_path("masked_lm", "tiny.yaml") == ROOT / "recipes" / "masked_lm" / "tiny.yaml"
    assert resources.model_card_path() == ROOT / "model_cards"


@pytest.mark.parametrize("parts", [("masked_lm", "tny.yaml"), ("masked_lm", "tny.yaml", "x"), ("masked",)])
def test_a_missing_file_names_those_that_exist(parts):
    with pytest.raises(ValueError, match=r"masked_lm|tiny\.yaml") as caught:
        resources.recipe_path(*parts)
    assert str(caught.value).startswith(f"There is no recipes/{'/'.join(parts)}; ")


def test_a_name_below_a_file_is_a_clear_error():
    with pytest.raises(ValueError, match="holds nothing"):
        resources.recipe_path("masked_lm", "tiny.yaml", "x")


def copy_package(target: Path) -> Path:
    for room in ("hub", "objectives"):
        (target / "hf_unlab" / room).mkdir(parents=True)
    for name in ("__init__.py", "hub/__init__.py", "hub/resources.py", "objectives/__init__.py"):
        shutil.copy(ROOT / "hf_unlab" / name, target / "hf_unlab" / name)
    return target


def find(root: Path) -> subprocess.CompletedProcess[str]:
    code = "from hf_unlab.hub import resources; print(resources.recipe_path())"
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)


def test_the_checkout_s_folder_hides_a_stale_copy_in_the_package(tmp_path):
    root = copy_package(tmp_path)
    shipped = root / "hf_unlab" / "_shipped" / "recipes"
    shipped.mkdir(parents=True)
    assert find(root).stdout.strip() == str(shipped)
    (root / "recipes").mkdir()
    assert find(root).stdout.strip() == str(shipped)  # a folder of that name without a pyproject.toml is not ours
    (root / "pyproject.toml").touch()
    assert find(root).stdout.strip() == str(root / "recipes")


def test_an_incomplete_installation_says_how_to_mend_it(tmp_path):
    assert "pip install --force-reinstall hf-unlab" in find(copy_package(tmp_path)).stderr
