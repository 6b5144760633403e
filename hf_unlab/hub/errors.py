"""What goes wrong on the way to the Hub, in words that say how to mend it."""

import contextlib
from collections.abc import Iterator

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, httpx

from hf_unlab.streams.messages import first_line
from hf_unlab.streams.redaction import redacted

_LOG_IN = "log in (hf auth login, or HF_TOKEN)"
_SAID = {
    400: "the Hub refuses what was sent",
    401: f"the token is missing or not valid: {_LOG_IN}",
    403: f"the token may not write there: {_LOG_IN} with one that may, or choose a repository of your own",
    404: f"there is no such repository or revision, or it is private and the token may not read it: {_LOG_IN}",
    409: "it is there already, or another change is under way: look at it, and try again",
    412: "somebody else has changed it meanwhile: look at their change, and publish again",
    413: "a file is too large for the Hub",
    429: "the Hub asks for fewer requests: wait some minutes, and publish again; what is uploaded is kept",
}


@contextlib.contextmanager
def hub_errors(repo_id: str, consequence: str = "") -> Iterator[None]:
    """Errors of the Hub's client become a ValueError that names the cause and the mend, and no token.

    Args:
        repo_id: The repository.
        consequence: What has become of it.

    Raises:
        ValueError: The Hub refused, failed or could not be reached.
    """
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ValueError(f"{repo_id}: the Hub is switched off by HF_HUB_OFFLINE; unset it.") from error
    except HfHubHTTPError as error:
        raise ValueError(_sentence(repo_id, _reason(error), consequence)) from error
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no name of a repository: {first_line(error)}") from error
    except (httpx.RequestError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise ValueError(_sentence(repo_id, _lost(error), consequence)) from error
    except RuntimeError as error:  # what the client makes of a large file that cannot be uploaded
        cause = error.__cause__
        if not isinstance(cause, HfHubHTTPError | httpx.RequestError | OSError):
            raise
        reason = _reason(cause) if isinstance(cause, HfHubHTTPError) else _lost(cause)
        raise ValueError(_sentence(repo_id, reason, consequence)) from error


def _lost(error: Exception) -> str:
    said = redacted(first_line(error)).rstrip(".") or type(error).__name__
    return f"the connection failed ({said}): try again; what is uploaded is kept"


def _reason(error: HfHubHTTPError) -> str:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    said = redacted((error.server_message or "").strip().rstrip("."))
    if status >= 500:
        known = "the Hub has trouble of its own: try again later; what is uploaded is kept"
    else:
        known = _SAID.get(status, "the Hub refuses")
    return f"{known} (HTTP {status}{': ' + said if said else ''})"


def _sentence(repo_id: str, reason: str, consequence: str) -> str:
    return f"{repo_id}: {reason}." + (f" {consequence}" if consequence else "")
