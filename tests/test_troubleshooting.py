"""Each message that the page on troubles explains is one that somebody may see."""

import ast
import re

import pytest

from tests.documents import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
HEADINGS = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
OF_OTHERS = {"operator torchvision::nms does not exist": "torchvision"}


def said() -> list[str]:
    """All text that stands in the code, the pieces of a message joined."""
    found = []
    for path in (ROOT / "hf_unlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_headings_are_parts_of_messages():
    texts = said()
    unknown = [one for one in HEADINGS if one not in OF_OTHERS and not any(one in text for text in texts)]
    assert len(HEADINGS) > 15 and unknown == []


@pytest.mark.parametrize("heading", HEADINGS)
def test_each_says_what_to_do(heading):
    text = PAGE.split(f"### `{heading}`\n", 1)[1].split("\n##", 1)[0]
    assert len(text.split()) >= 8 or "--" in text
