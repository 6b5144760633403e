"""Links and settings are shown without what opens them, and are otherwise as they were."""

import aiohttp
import pytest
from yarl import URL

from hf_unlab.streams import network
from hf_unlab.streams.bad_examples import Tally
from hf_unlab.streams.network import NetworkError, with_retries
from hf_unlab.streams.redaction import redacted, without_secrets
from hf_unlab.streams.sources import Source, open_stream

TOKEN = "hf_" + "a1B2" * 8


@pytest.mark.parametrize(
    "text, shown",
    [
        ("https://host/a.parquet?X-Amz-Signature=4f1&x=y", "https://host/a.parquet?***"),
        ("https://host/a.parquet#access=4f1", "https://host/a.parquet?***".replace("?", "#")),
        ("https://me:word@host:8080/a?b=c", "https://***@host:8080/a?***"),
        ("https://me:p@ss@host/a", "https://***@host/a"),
        ("s3://KEY:se/cr+et@bucket/a", "s3://***@bucket/a"),
        ("zip://a.txt::https://me@host/x.zip?sig=1", "zip://a.txt::https://***@host/x.zip?***"),
        (
            "cannot read 'https://host/a?b=c' of https://host/d?e=f.",
            "cannot read 'https://host/a?***' of https://host/d?***.",
        ),
        (f"https://host/{TOKEN}/a", "https://host/hf_***/a"),
        (f"token {TOKEN}, bad", "token hf_***, bad"),
    ],
)
def test_what_opens_a_link_is_not_shown(text, shown):
    assert redacted(text) == redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reviews-?.jsonl",
        "a: what? #1",
        "/data/a@b/c?d",
        "https://host:8080/a@v1",
        "hf://datasets/me/data@main/a.parquet",
        "zip://a::https://host/x@1",
        "me@host.org",
        "hf_unlab",
        "what? see https://host/a, and mail me@host",
    ],
)
def test_all_else_stays_as_it_is(text):
    assert redacted(text) == text


def test_settings_lose_what_is_secret_by_name_or_by_form():
    given = {
        "hub_token": "x",
        "storage": {"key": "id", "secret_key": "x", "files": [f"s3://k:{TOKEN}@b/c", ("https://h/a?b=c",)]},
        "num_tokens": 3,
        "tokenizer": "bert",
        "nothing": None,
    }
    assert without_secrets(given) == {
        "storage": {"key": "id", "files": ["s3://***@b/c", ["https://h/a?***"]]},
        "num_tokens": 3,
        "tokenizer": "bert",
        "nothing": None,
    }


SECRET = "https://me:word@host.invalid/a.jsonl?sig=4f1"


def assert_tells_no_secret(text):
    assert "host.invalid/a.jsonl" in text
    assert "word" not in text and "4f1" not in text, text


@pytest.mark.parametrize("source", [Source("json", data_files=[SECRET, SECRET]), Source(SECRET)])
def test_a_source_s_label_tells_no_secret(source):
    assert_tells_no_secret(source.label)


def test_a_source_that_cannot_be_read_or_set_up_tells_no_secret(tmp_path, monkeypatch):
    local = tmp_path / "a.jsonl"
    local.write_text('{"text": "a"}\n')
    for error in (FileNotFoundError(SECRET), ValueError(f"no {SECRET} here")):

        def fail(*_, error=error, **__):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("hf_unlab.streams.sources.load", fail)
            with pytest.raises(ValueError, match="Cannot read the source") as caught:
                open_stream(Source("json", data_files=SECRET))
        assert_tells_no_secret(str(caught.value))
    with pytest.raises(ValueError, match="means nothing for this path") as caught:
        open_stream(Source(str(local), data_files=SECRET))
    assert_tells_no_secret(str(caught.value))


def test_network_faults_are_told_without_secrets(monkeypatch, caplog):
    """In warnings of what is tried again, and in the error at the end: both name the file."""
    monkeypatch.setattr(network.time, "sleep", lambda _: None)
    monkeypatch.setattr(network, "failed_file", lambda _: SECRET)
    request = aiohttp.RequestInfo(URL(SECRET), "GET", None, URL(SECRET))

    def read():
        raise aiohttp.ClientResponseError(request, (), status=503, message="busy")

    with pytest.raises(NetworkError) as caught:
        with_retries(read, lambda: None, reader="reader 0 of 1", retries=1)
    assert_tells_no_secret(str(caught.value))
    assert_tells_no_secret(caplog.text)


def test_bad_examples_are_named_without_secrets():
    """They stand in messages and in the state of a stream."""
    tally = Tally(lambda example: "HTTP 403")
    tally.accepts({"image": SECRET}, 0)
    tally.accepts({"image": {"path": SECRET, "bytes": None}}, 1)
    tally.accepts({"image": [f"https://host.invalid/a.jsonl?{'x' * 100}4f1"]}, 2)
    for named in tally.state_dict()["first"]:
        assert_tells_no_secret(named)


def test_no_setting_under_a_secret_name_is_written():
    named = {"aws_access_key_id": "a", "Authorization": "Bearer b", "apikey": "c", "pwd": "d", "client_secret": ["e"]}
    assert without_secrets({"storage_options": {**named, "anon": True}, "num_tokens": 3}) == {
        "storage_options": {"anon": True}, "num_tokens": 3,
    }  # fmt: skip
