"""Names of data without what opens it: passwords, signatures and tokens that links carry."""

import re
from typing import Any

_USER = re.compile(r"(?<=://)(?:[^/\s?#]*|[^/\s:@]+:(?!\d{1,5}/)(?:(?!://)[^\s@])*)@")
_QUERY = re.compile(r"(://[^\s?#'\"<>]*[?#])[^\s'\"<>]*[^\s'\"<>:.,;)\]}]")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_PATH = re.compile(r"(?<![\w./:-])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\]+[/\\])*([^\s'\"/\\]+)")
_SECRET_NAMES = re.compile(
    r"token$|passw|pwd|secret|credential|authorization|cookie|_key$|(api|access)[-_]?key|^sas", re.IGNORECASE
)


def redacted(text: str) -> str:
    """A text whose links have lost what may be secret, `user:password@` and all behind `?` or `#`; no tokens.

    Args:
        text: A link or path, several, or a message that holds some.

    Example:
        >>> redacted("Cannot read https://me:word@host/a.parquet?X-Amz-Signature=4f1: HTTP 403")
        'Cannot read https://***@host/a.parquet?***: HTTP 403'
        >>> redacted("reviews-?.jsonl, hf://datasets/me/data@main/a.parquet")
        'reviews-?.jsonl, hf://datasets/me/data@main/a.parquet'
    """
    if "://" in text:
        text = _QUERY.sub(r"\1***", _USER.sub("***@", text))
    return _TOKEN.sub("hf_***", text)


def without_secrets(value: Any) -> Any:
    """Settings as they may be written: every text `redacted`, and nothing under a name that says it is secret.

    Args:
        value: What JSON can hold.

    Example:
        >>> without_secrets({"hub_token": "hf_abc", "num_tokens": 3, "files": ["s3://key:word@bucket/a"]})
        {'num_tokens': 3, 'files': ['s3://***@bucket/a']}
    """
    if isinstance(value, dict):
        return {name: without_secrets(one) for name, one in value.items() if not _is_secret(name, one)}
    if isinstance(value, list | tuple):
        return [without_secrets(one) for one in value]
    return redacted(value) if isinstance(value, str) else value


def without_folders(value: Any) -> Any:
    """Texts, `redacted`, whose absolute paths have lost their folders, which tell of the machine and whose it is.

    Args:
        value: What JSON can hold.

    Example:
        >>> without_folders("--dataset /home/ann/data/web.jsonl --output_dir out/web https://a.org/b/c")
        '--dataset web.jsonl --output_dir out/web https://a.org/b/c'
    """
    if isinstance(value, dict):
        return {name: without_folders(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    return _PATH.sub(r"\1", redacted(value)) if isinstance(value, str) else value


def is_secret_name(name: str) -> bool:
    """Whether what stands under a name is secret.

    Example:
        >>> is_secret_name("hub_token"), is_secret_name("num_tokens")
        (True, False)
    """
    return _SECRET_NAMES.search(name) is not None


def _is_secret(name: Any, value: Any) -> bool:
    # a number of tokens is none
    return isinstance(name, str) and isinstance(value, str | list | tuple) and is_secret_name(name)
