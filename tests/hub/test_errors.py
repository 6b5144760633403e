"""errors.py: the Hub's errors in words; publishing meets each over a real connection in test_publish.py."""

import pytest
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx

from hf_unlab.hub.errors import hub_errors

REQUEST = httpx.Request("POST", "https://huggingface.co/api?token=hf_" + "a1B2" * 8)


def answer(status):
    response = httpx.Response(status, request=REQUEST)
    return HfHubHTTPError("failed", response=response, server_message="see https://me:word@host/x")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answer(401), "log in"),
        (answer(413), "too large"),
        (answer(418), "the Hub refuses"),
        (answer(503), "try again later"),
        (OfflineModeIsEnabled("x"), "unset it"),
        (httpx.ConnectError("refused", request=REQUEST), "the connection failed \\(refused\\)"),
        (TimeoutError(), "the connection failed \\(TimeoutError\\)"),
    ],
)
def test_cause_and_mend_and_no_secret(error, said):
    with pytest.raises(ValueError, match=said) as caught, hub_errors("me/x", "Nothing has changed."):
        raise error
    assert (
        str(caught.value).startswith("me/x: ") and "word" not in str(caught.value) and "a1B2" not in str(caught.value)
    )


def test_large_files_fail_for_a_reason_behind_the_client_s():
    with pytest.raises(ValueError, match="trouble of its own"), hub_errors("me/x"):
        raise RuntimeError("Error while uploading 'a'") from answer(500)
    with pytest.raises(RuntimeError, match="a fault"), hub_errors("me/x"):
        raise RuntimeError("a fault of our own")
