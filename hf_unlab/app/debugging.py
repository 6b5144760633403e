"""Whether a mistake's traceback is wanted: its message says what is wrong with the input, not where that was seen."""

import os

DEBUG_VARIABLE = "HF_UNLAB_DEBUG"


def wants_traceback() -> bool:
    """Whether the environment, or `hf-unlab --debug`, asks for it.

    Example:
        >>> os.environ.pop(DEBUG_VARIABLE, None) and None
        >>> wants_traceback()
        False
    """
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")
