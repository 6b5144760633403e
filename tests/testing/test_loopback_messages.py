import json

import pytest

from hf_unlab.testing.loopback_messages import error_answer, ranged_answer
from hf_unlab.testing.loopback_repositories import HubError

CONTENT = b"0123456789"


@pytest.mark.parametrize(
    "asked, status, body",
    [
        (None, 200, CONTENT),
        ("bytes=0-0", 206, b"0"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=8-20", 206, b"89"),
        ("bytes=-20", 206, CONTENT),
        ("bytes=10-", 416, b""),
        ("bytes=-", 200, CONTENT),
        ("bytes=0-1,4-5", 200, CONTENT),
    ],
    ids=str,
)
def test_ranges(asked, status, body):
    answer = ranged_answer(CONTENT, asked, {"ETag": "x"})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (status, body, "x")


def test_an_error_says_why_and_of_which_kind_it_is():
    answer = error_answer(HubError(404, "no such file", "EntryNotFound", "1" * 40))
    headers = {"X-Error-Message": "no such file", "X-Error-Code": "EntryNotFound", "X-Repo-Commit": "1" * 40}
    assert answer.status == 404 and headers.items() <= answer.headers.items()
    assert json.loads(answer.body) == {"error": "no such file"}
