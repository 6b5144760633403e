"""How much is printed: of a mistake its message alone, or its traceback too; of what goes on all of it, or nothing."""

import os

DEBUG_VARIABLE, QUIET_VARIABLE = "HF_UNLAB_DEBUG", "HF_UNLAB_QUIET"


def wants_traceback() -> bool:
    """Whether the environment, or `hf-unlab --debug`, asks for the traceback of a mistake."""
    return _is_set(DEBUG_VARIABLE)


def is_quiet() -> bool:
    """Whether the environment, or `hf-unlab --quiet`, asks for mistakes alone."""
    return _is_set(QUIET_VARIABLE)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")
