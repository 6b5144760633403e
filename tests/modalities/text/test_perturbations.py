"""Perturbed texts: changed as they say and no further, the same each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.modalities.text import perturbations
from hf_unlab.modalities.text.perturbations import PERTURBATIONS, no_punctuation, typos

TEXT = "The quick brown fox jumps over the lazy dog, and it doesn't look back; why should it? " * 5


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def edits(a: str, b: str) -> int:
    """Insertions, deletions and replacements from one word to another (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a):
        before, row[0] = row[0], i + 1
        for j, right in enumerate(b):
            before, row[j + 1] = row[j + 1], min(before + (left != right), row[j] + 1, row[j + 1] + 1)
    return row[-1]


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(text=st.text(max_size=80), seed=st.integers(0, 9))
def test_any_text_becomes_a_text_the_same_each_time(name, text, seed):
    changed = PERTURBATIONS[name](text, rng(seed))
    assert isinstance(changed, str) and changed == PERTURBATIONS[name](text, rng(seed))


def test_a_tenth_of_the_words_get_one_typo_each_and_all_else_stays():
    before = TEXT.split(" ")
    for seed in range(50):
        after = typos(TEXT, rng(seed)).split(" ")
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        # doesn't is two words here, of which the second has a single letter
        assert len(changed) == round(0.1 * len(perturbations._WORD.findall(TEXT)))
        assert all(1 <= edits(a, b) <= 2 and len(a) - len(b) in (0, 1) for a, b in changed)
    assert typos(TEXT, rng(0)) != typos(TEXT, rng(1))


@given(word=st.text("abcdefghijklmnopqrstuvwxyzÄßжあ", min_size=2, max_size=6), seed=st.integers(0, 99))
def test_a_typo_makes_another_word_and_keeps_capitals(word, seed):
    changed = typos(word, rng(seed))
    assert changed != word and changed
    capitals = typos(word.upper(), rng(seed))
    assert capitals == capitals.upper()


def test_all_three_kinds_of_typos_occur_and_keys_are_neighbours():
    kinds = {typos("ab", rng(seed)) for seed in range(300)}
    near = perturbations._NEIGHBOURS
    assert kinds == {"a", "b", "ba", *(f"{key}b" for key in near["a"]), *(f"a{key}" for key in near["b"])}
    assert set(near["g"]) == set("tyfhvb") and set(near["q"]) == set("wa") and set(near["m"]) == set("njk")
    assert all(letter in near[other] for letter, others in near.items() for other in others)


@pytest.mark.parametrize("text", ["", " \n", "12 34", "a b c", "?!"])
def test_texts_without_words_have_no_typos(text):
    assert typos(text, rng()) == text


def test_a_single_word_gets_its_typo_and_equal_letters_are_not_swapped():
    assert {typos("жж", rng(seed)) for seed in range(30)} == {"ж"}
    assert all(typos("你好世界", rng(seed)) != "你好世界" for seed in range(30))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Don't stop: it’s well-known (really)!", "Dont stop its well known really"),
        ("first.Second", "first Second"),
        ("¿Qué? «Oui» 「はい」。", "Qué Oui はい"),
        ("3.14 + $2", "3 14 + $2"),
        ("...", ""),
        ("", ""),
        (".a.", "a"),
    ],
)
def test_punctuation_of_any_script_goes_and_words_stay_apart(text, expected):
    assert no_punctuation(text, rng()) == expected


def test_cases():
    assert PERTURBATIONS["lower_case"]("Ärger IN Athen", rng()) == "ärger in athen"
    assert PERTURBATIONS["upper_case"]("Straße", rng()) == "STRASSE"
