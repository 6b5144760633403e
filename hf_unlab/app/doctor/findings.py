"""What the checks say, and how it is printed."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from hf_unlab.streams.redaction import redacted

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_INDENT = 28  # columns of the status and of what was looked at


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        status: `ok`; `warning`, a run works but slowly or not as expected; or `problem`, it does not work.
        what: A word or two on what was looked at.
        detail: What was found, and how to mend it.
    """

    status: Literal["ok", "warning", "problem"]
    what: str
    detail: str


def guard(what: str, check: Callable[..., Iterable[Finding]], *args: Any) -> Iterator[Finding]:
    """A check's findings; where it breaks, that is one too, so that the other checks still tell something.

    Example:
        >>> list(guard("memory", lambda: 1 / 0))
        [Finding(status='problem', what='memory', detail='ZeroDivisionError: division by zero')]
    """
    try:
        yield from check(*args)
    except Exception as error:
        yield Finding("problem", what, explain(error))


def explain(error: BaseException) -> str:
    """An error in one line; the type is left out where the message is made for users."""
    text = textwrap.shorten(redacted(str(error)), 600, placeholder=" ...")
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def count(number: int, unit: str) -> str:
    """A number and its unit, as in `1,000 shards`."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def render(findings: Iterable[Finding], console: Console) -> bool:
    """Print findings as they come, and a summary; tells whether there is no problem.

    Example:
        >>> render([Finding("warning", "HF_HOME", "only 3 GiB free")], Console(width=60))
        warning  HF_HOME            only 3 GiB free
        No problem, 1 warning.
        True
    """
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.status] += 1
        lines = textwrap.wrap(finding.detail, max(20, console.width - _INDENT), break_on_hyphens=False)
        body = f"{finding.what:<{_INDENT - 9}}" + ("\n" + " " * _INDENT).join(lines)
        console.print(Text(f"{finding.status:<9}", style=_COLOURS[finding.status]) + Text(body), soft_wrap=True)
    problems = count(counts["problem"], "problem") if counts["problem"] else "No problem"
    console.print(f"{problems}, {count(counts['warning'], 'warning') if counts['warning'] else 'no warning'}.")
    return not counts["problem"]
