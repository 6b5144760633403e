"""What the tests of recipes share."""

from collections.abc import Callable
from typing import Any

import pytest


def refusal_of(capsys: pytest.CaptureFixture[str], run: Callable[..., Any], *argv: Any) -> str:
    """What a script says of a mistake, which it ends with code 2 and without a traceback."""
    with pytest.raises(SystemExit) as exit_info:
        run(*argv)
    error = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert "Traceback" not in error
    return error
