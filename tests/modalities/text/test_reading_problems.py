"""What is wrong with a text is said in a few words."""

import numpy as np
import pytest
import torch
from PIL import Image

from hf_unlab.modalities.text.reading import text_problem


@pytest.mark.parametrize(
    "value, reason",
    [
        ("a", None),
        ("a\ud800b", None),
        ("\ud800", None),  # lone surrogates become question marks where they are tokenised
        (np.str_("a"), None),
        ("x" * 50, None),
        ("x" * 51, "longer than 50 characters"),
        (" " * 51, "longer than 50 characters"),
        ("", "empty"),
        (" \n\t\u00a0\u2003", "empty"),
        (None, "missing"),
        (float("nan"), "NaN"),
        (np.float64("nan"), "NaN"),
        (1.5, "float instead of text"),
        (0, "int instead of text"),
        (True, "bool instead of text"),
        (b"bytes", "bytes instead of text"),
        (["a"], "list instead of text"),
        ([], "list instead of text"),
        ({"text": "a"}, "dict instead of text"),
        (Image.new("RGB", (2, 2)), "Image instead of text"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_in_a_few_words(value, reason):
    assert text_problem({"text": value}, max_characters=50) == reason


@pytest.mark.parametrize("value", [np.arange(2), np.empty(0), torch.arange(2)])
def test_an_array_is_no_text_either(value):
    assert text_problem({"text": value}) == f"{type(value).__name__} instead of text"


def test_absurd_length_has_a_default_and_another_column_can_be_checked():
    assert text_problem({"text": "x" * 10_000_001}) == "longer than 10,000,000 characters"
    assert text_problem({"text": "x", "caption": ""}, column="caption") == "empty"
