"""What is missing is named with the line that installs it; the core goes without the extras."""

import subprocess
import sys

import pytest

from hf_unlab.streams.extras import EXTRA_OF, of_extras

WITHOUT = f"""
import sys
for name in {[*EXTRA_OF]}:
    sys.modules[name] = None  # an import of it raises ModuleNotFoundError
"""


@pytest.mark.parametrize("package", EXTRA_OF)
def test_a_missing_package_ends_in_its_pip_line(package):
    with (
        pytest.raises(ImportError, match=rf"needs {package}.*pip install 'hf-unlab\[{EXTRA_OF[package]}\]'"),
        of_extras(),
    ):
        raise ModuleNotFoundError(name=f"{package}.inner")


def test_what_is_no_extra_s_stays_as_it_is():
    with pytest.raises(ModuleNotFoundError, match="other"), of_extras():
        raise ModuleNotFoundError("No module named 'other'", name="other")


def test_text_goes_without_them_and_the_others_say_what_they_need():
    code = WITHOUT + (
        "from hf_unlab import MaskedLMTrainer, Source\n"
        "import hf_unlab.few_labels.prove\n"
        "import hf_unlab.app.console\n"
        "for load in (lambda: __import__('hf_unlab.objectives.wav2vec2.trainer'),\n"
        "             lambda: __import__('hf_unlab').load_dual_encoder('open_clip:ViT-B-32')):\n"
        "    try:\n        load()\n    except ImportError as error:\n        print(error)"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "hf-unlab[audio]" in result.stdout and "hf-unlab[image]" in result.stdout, result.stdout
