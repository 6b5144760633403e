"""What may befall a text on its way to a model without changing what it says: typos, letter case, lost punctuation."""

import re
import unicodedata
from collections.abc import Callable, Mapping

import numpy as np

TYPO_SHARE = 0.1
_WORD = re.compile(r"[^\W\d_]{2,}")  # runs of letters; a single letter would be gone if it were dropped
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_APOSTROPHES = "'’"


def typos(text: str, rng: np.random.Generator) -> str:
    """A tenth of the words, and at least one, get one typo each: a neighbouring key, two letters swapped, or one lost.

    Words are runs of letters; in scripts without spaces that is a whole clause. Keys are those of a QWERTY keyboard:
    letters that it lacks are swapped or lost. Spaces, digits and punctuation stay where they are.

    Args:
        text: Any text; one without words is returned as it is.
        rng: Draws the words and what befalls them.

    Returns:
        The text with typos. Typos of this kind: https://huggingface.co/papers/1711.02173

    Example:
        >>> typos("A text with some words.", np.random.default_rng(0))
        'A text with some wodrs.'
    """
    words = list(_WORD.finditer(text))
    if not words:
        return text
    num_typos = max(1, round(TYPO_SHARE * len(words)))
    parts, end = [], 0
    for index in sorted(rng.choice(len(words), num_typos, replace=False).tolist()):
        word = words[index]
        parts += [text[end : word.start()], _with_typo(word.group(), rng)]
        end = word.end()
    return "".join([*parts, text[end:]])


def lower_case(text: str, rng: np.random.Generator) -> str:
    """All letters small.

    Args:
        text: Any text.
        rng: Not drawn from.

    Example:
        >>> lower_case("An Example", np.random.default_rng(0))
        'an example'
    """
    return text.lower()


def upper_case(text: str, rng: np.random.Generator) -> str:
    """All letters capital.

    Args:
        text: Any text.
        rng: Not drawn from.

    Example:
        >>> upper_case("An example", np.random.default_rng(0))
        'AN EXAMPLE'
    """
    return text.upper()


def no_punctuation(text: str, rng: np.random.Generator) -> str:
    """Without punctuation of any script; words that it held apart get a space, those with an apostrophe stay one.

    Args:
        text: Any text; of one that is punctuation alone nothing remains.
        rng: Not drawn from.

    Example:
        >>> no_punctuation("Don't stop: it's well-known (really)!", np.random.default_rng(0))
        'Dont stop its well known really'
    """
    kept = []
    for i, character in enumerate(text):
        if not unicodedata.category(character).startswith("P"):
            kept.append(character)
        elif character not in _APOSTROPHES and text[i - 1 : i].isalnum() and text[i + 1 : i + 2].isalnum():
            kept.append(" ")
    return "".join(kept)


PERTURBATIONS: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "typos": typos,
    "lower_case": lower_case,
    "upper_case": upper_case,
    "no_punctuation": no_punctuation,
}


def _neighbours() -> dict[str, str]:
    """The keys around each letter; each row stands half a key to the right of the one above."""
    found = {}
    for row, letters in enumerate(_ROWS):
        for column, letter in enumerate(letters):
            near = [(row, column - 1), (row, column + 1), (row - 1, column), (row - 1, column + 1)]
            near += [(row + 1, column - 1), (row + 1, column)]
            found[letter] = "".join(_ROWS[r][c] for r, c in near if 0 <= r < 3 and 0 <= c < len(_ROWS[r]))
    return found


_NEIGHBOURS = _neighbours()


def _with_typo(word: str, rng: np.random.Generator) -> str:
    """One typo; always another word than before."""
    on_keys = [i for i, letter in enumerate(word) if letter.lower() in _NEIGHBOURS]
    unequal = [i for i in range(len(word) - 1) if word[i] != word[i + 1]]
    kinds = ["drop", *["swap"] * bool(unequal), *["neighbour"] * bool(on_keys)]
    kind = kinds[rng.integers(len(kinds))]
    if kind == "drop":
        i = int(rng.integers(len(word)))
        return word[:i] + word[i + 1 :]
    if kind == "swap":
        i = unequal[rng.integers(len(unequal))]
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    i = on_keys[rng.integers(len(on_keys))]
    near = _NEIGHBOURS[word[i].lower()]
    letter = near[rng.integers(len(near))]
    return word[:i] + (letter.upper() if word[i].isupper() else letter) + word[i + 1 :]
