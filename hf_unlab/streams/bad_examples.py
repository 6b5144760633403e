"""Examples that nothing can be learnt from: skipped, counted by reason, never hidden."""

import logging
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hf_unlab.streams.redaction import redacted

logger = logging.getLogger(__name__)
Example = dict[str, Any]
Check = Callable[[Example], str | None]
Decode = Callable[[Example], Example]
_NUM_NAMED, _REASON_LENGTH = 3, 40
_SHORTENER = reprlib.Repr()
_SHORTENER.maxstring = _SHORTENER.maxother = 60


class BadExample(Exception):
    """Raised by a decoder for an example to be skipped; its message is the reason, a few words long."""


class Tally:
    """How many examples were read and which were bad, by reason; the first few are kept by name.

    Each example is counted once, however often a resume reads it again: its index in the pass tells.

    Args:
        check: The reason why a raw example is bad, or None if it is good.

    Example:
        >>> tally = Tally(lambda example: None if example["text"] else "empty")
        >>> [tally.accepts({"text": text}, index) for index, text in enumerate(["a", "", "b"])]
        [True, False, True]
        >>> tally.accepts({"text": ""}, 1), tally.num_read, tally.num_bad
        (False, 3, 1)
    """

    def __init__(self, check: Check | None = None) -> None:
        self._check = check
        self._next_index = 0
        self.num_read = 0
        self.reasons: Counter[str] = Counter()
        self.first: list[str] = []

    @property
    def num_bad(self) -> int:
        """Examples skipped, over all reasons."""
        return self.reasons.total()

    def accepts(self, example: Example, index: int) -> bool:
        """Whether a raw example is good; the `keep` of `shuffle_blocks`."""
        reason = self._check(example) if self._check else None
        if index >= self._next_index:
            self._next_index = index + 1
            self.num_read += 1
            if reason is not None:
                self.refuse(example, reason)
        return reason is None

    def refuse(self, example: Example, reason: str) -> None:
        """Count a bad example."""
        reason = " ".join(reason.split())[:_REASON_LENGTH]
        self.reasons[reason] += 1
        if len(self.first) < _NUM_NAMED:
            self.first.append(f"{reason}: {_shortened(example)}")

    def start_pass(self) -> None:
        """Indices begin at 0 again."""
        self._next_index = 0

    def state_dict(self) -> dict[str, Any]:
        """The tally as JSON."""
        return {
            "next_index": self._next_index,
            "num_read": self.num_read,
            "reasons": dict(self.reasons),
            "first": list(self.first),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a saved tally."""
        self._next_index, self.num_read = state["next_index"], state["num_read"]
        self.reasons, self.first = Counter(state["reasons"]), list(state["first"])

    def add(self, state: dict[str, Any]) -> None:
        """Add what another reader counted."""
        self.num_read += state["num_read"]
        self.reasons.update(state["reasons"])
        self.first = [*self.first, *state["first"]][:_NUM_NAMED]


def good_examples(examples: Iterable[Example], decode: Decode | None) -> Iterator[tuple[Example, Example]]:
    """Each example that can be decoded, as it was and decoded; the others are named in a warning.

    Args:
        examples: Undecoded examples.
        decode: Raises BadExample; None leaves all as they are.
    """
    for example in examples:
        try:
            yield example, decode(example) if decode else example
        except BadExample as bad:
            logger.warning("Left out (%s): %s", bad, _shortened(example))


def bad_examples_table(tallies: Iterable[tuple[str, Tally]]) -> str:
    """A line for each source and reason, and the first few examples by name.

    Example:
        >>> tally = Tally(lambda example: "empty")
        >>> _ = tally.accepts({"text": ""}, 0)
        >>> print(bad_examples_table([("web", tally)]))
        web: 1 of 1 examples skipped (100.00%)
                   1  empty
            empty: {'text': ''}
    """
    lines = []
    for name, tally in tallies:
        if tally.num_bad:
            share = tally.num_bad / max(1, tally.num_read)
            lines.append(f"{name}: {tally.num_bad:,} of {tally.num_read:,} examples skipped ({share:.2%})")
            lines += [f"{count:>12,}  {reason}" for reason, count in tally.reasons.most_common()]
            lines += [f"    {example}" for example in tally.first]
    return "\n".join(lines)


def _shortened(example: Example) -> str:
    columns = ", ".join(f"{column!r}: {_SHORTENER.repr(_presentable(value))}" for column, value in example.items())
    return " ".join(f"{{{columns}}}".split())[:100]


def _presentable(value: Any) -> Any:
    # the first bytes of an encoded file say enough, and to spell out megabytes takes long; links lose their secrets
    # before they are shortened, as of a half nobody would know it for one
    if isinstance(value, bytes):
        return value[:20]
    if isinstance(value, str) and "://" in value:
        return redacted(value[:1000])
    if isinstance(value, list):
        return [_presentable(one) for one in value[:10]]
    return {key: _presentable(one) for key, one in value.items()} if isinstance(value, dict) else value
