"""Whether rows of data stand in a text, whatever the case, spacing and punctuation."""

import itertools
import re
from collections.abc import Iterable, Iterator

from hf_unlab.hub.readable import SEPARATOR

WINDOW = 48  # characters; shorter texts are phrases that anybody may write
_LONG_WORD = 2 * WINDOW  # scripts without spaces: windows begin anywhere in words of this length
_WORDS = re.compile(rf"\w+|{SEPARATOR}")


class RawRows:
    """Windows of texts: the first, a middle and the last 48 characters of each, of words alone.

    Args:
        texts: Rows of training or held-out data. Those that are shorter than a window are left out.

    Example:
        >>> rows = RawRows(["She sells sea shells by the sea shore, and the shells are sea shells."])
        >>> list(rows.starts_in("Here: 'she  SELLS sea shells by the sea shore and the shells are'"))
        [7]
        >>> list(rows.starts_in("She sells sea shells."))
        []
    """

    def __init__(self, texts: Iterable[str]) -> None:
        windows = dict(pair for text in texts for pair in _windows(text))
        self._windows, self._first_words = set(windows), set(windows.values())

    def starts_in(self, text: str) -> Iterator[int]:
        """Where rows, or parts of them, begin in a text.

        Args:
            text: Of any length; `SEPARATOR` stands between what does not belong together.
        """
        if not self._windows:
            return
        words = _WORDS.findall(text.casefold())
        joined = " ".join(words)
        ends = list(itertools.accumulate(map(len, words)))  # without the spaces between
        is_row = self._windows.__contains__
        numbers = []
        for number in (number for number, word in enumerate(words) if word in self._first_words):
            start = ends[number] - len(words[number]) + number
            if is_row(joined[start : start + WINDOW]):
                numbers.append(number)
        if max(map(len, words), default=0) >= _LONG_WORD:
            for number, word in enumerate(words):
                if len(word) >= _LONG_WORD and any(map(is_row, _slices(word))):
                    numbers.append(number)
        if numbers:
            places = [found.start() for found in _WORDS.finditer(text)]
            yield from (places[min(number, len(places) - 1)] for number in sorted(numbers))


def _windows(text: str) -> Iterator[tuple[str, str]]:
    """Each window of a row, and the word that it begins with."""
    words = _WORDS.findall(text.casefold())
    joined = " ".join(words)
    starts = itertools.accumulate((len(word) + 1 for word in words), initial=0)
    places = [(start, word) for start, word in zip(starts, words, strict=False) if start + WINDOW <= len(joined)]
    for start, word in [*places[:1], *places[len(places) // 2 :][:1], *places[-1:]]:
        yield joined[start : start + WINDOW], word


def _slices(word: str) -> Iterator[str]:
    return (word[start : start + WINDOW] for start in range(1, len(word) - WINDOW + 1))
