"""How things are said: warnings once, and errors of libraries on one line."""

import functools
import logging

_MOST = 200  # characters of a library's own words; more of them hide what is to be done


@functools.cache
def warn_once(logger: logging.Logger, message: str) -> None:
    """Log a warning, the first time in this process that this logger is given it.

    Example:
        >>> warn_once(logging.getLogger("doctest"), "labels differ in case")
    """
    logger.warning("%s", message)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing.

    Example:
        >>> first_line(RuntimeError("out of memory\\nCUDA kernel errors might be reported later"))
        'out of memory'
        >>> first_line(EOFError())
        'EOFError'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(error: BaseException, most: int | None = _MOST) -> str:
    """All that an error says, on one line of at most 200 characters, or of so many.

    Example:
        >>> one_line(ValueError("mapping values are not allowed here\\n  in line 2"))
        'mapping values are not allowed here in line 2'
    """
    return " ".join(str(error).split())[:most]
