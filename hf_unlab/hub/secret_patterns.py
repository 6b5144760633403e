"""Tokens, keys, signed links and passwords, told by how they look or by the name they stand under.

A table of our own: of the libraries that find secrets, none knows the tokens of the Hub, is quick on a vocabulary of
30,000 words and silent on it, and is light enough to be installed with everything else.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BY_NAME = "a password or key, by its name"


class Match(NamedTuple):
    """What was found in a text, and from where to where."""

    start: int
    end: int
    what: str


class _Kind(NamedTuple):
    what: str
    literals: tuple[str, ...]  # a text without any of them is not searched, which makes large vocabularies quick
    pattern: re.Pattern[str]


def _kind(what: str, literals: str, pattern: str, flags: re.RegexFlag = re.ASCII) -> _Kind:
    return _Kind(what, tuple(literals.split()), re.compile(pattern, flags))


# None begins behind a letter or digit. Where a class of characters could be words, a digit among them is asked for.
_TOKENS = (
    _kind("a Hugging Face token", "hf_", r"hf_(?:[A-Za-z0-9]{30,}|(?=[A-Za-z]*\d)[A-Za-z0-9]{20,})"),
    _kind("a Hugging Face token", "api_org_", r"api_org_[A-Za-z0-9]{20,}"),
    _kind("an Anthropic key", "sk-ant-", r"sk-ant-[\w-]{20,}"),
    _kind("an OpenAI key", "sk-", r"sk-(?!ant-)(?:[a-z]+(?:-v\d)?-)?(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}"),
    _kind("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{30,}"),
    _kind("a GitHub token", "github_pat_", r"github_pat_\w{20,}"),
    _kind("a GitLab token", "glpat- gldt- glrt- glptt-", r"gl(?:pat|dt|rt|ptt)-[\w-]{16,}"),
    _kind("an AWS access key", "AKIA ASIA", r"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _kind("a Google key", "AIza", r"AIza[\w-]{35}(?![\w-])"),
    _kind("a Google token", "ya29. GOCSPX-", r"(?:ya29\.|GOCSPX-)[\w-]{20,}"),
    _kind("a Slack token", "xox xapp-", r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-\d-[\w-]{10,}"),
    _kind("a webhook", "/services/T", r"hooks\.slack\.com/services/T\w+/B\w+/\w+"),
    _kind("a webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{16,}"),
    _kind("a JSON web token", "eyJ", r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    _kind("a Neptune token", "eyJhcGlf", r"eyJhcGlf[A-Za-z0-9+/=_-]{40,}"),
    _kind("an npm token", "npm_", r"npm_[A-Za-z0-9]{30,}"),
    _kind("a PyPI token", "pypi-AgE", r"pypi-AgE[\w-]{16,}"),
    _kind("a Stripe key", "k_live_ k_test_ whsec_", r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9+/]{16,}"),
    _kind("a Weights & Biases key", "wandb_v", r"wandb_v\d_[A-Za-z0-9_]{30,}"),
    _kind("an Azure key", "AccountKey= SharedAccessKey=", r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{20,}={0,2}"),
    _kind("a Replicate token", "r8_", r"r8_(?=[A-Za-z]*\d)[A-Za-z0-9]{30,}"),
    _kind("a Groq key", "gsk_", r"gsk_[A-Za-z0-9]{40,}"),
    _kind("an NVIDIA key", "nvapi-", r"nvapi-[\w-]{40,}"),
    _kind("an xAI key", "xai-", r"xai-[A-Za-z0-9]{40,}"),
    _kind("a SendGrid key", "SG.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    _kind("a DigitalOcean token", "do", r"do[opr]_v1_[a-f0-9]{40,}"),
    _kind("a Docker token", "dckr_", r"dckr_(?:pat|oat)_[\w-]{20,}"),
    _kind("a Databricks token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?(?![A-Za-z0-9])"),
    _kind("a Vault token", "hvs. hvb.", r"hv[sb]\.[\w-]{20,}"),
    _kind("a private key", "PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"),
    _kind("a private key", "PuTTY-User-Key-File", r"PuTTY-User-Key-File-\d"),
    _kind("a private key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{20,}"),
)
# Each has a group: the secret itself, which must be no placeholder.
_LINKS = (
    _kind(
        "a link with a password",
        "://",
        r"://[^/\s:@?#'\"<>`]*:(?!\d{1,5}(?:/|$))([^\s@'\"<>`]{1,200})@(?=[\w\[])",
        re.UNICODE,  # in which `SEPARATOR` is white space
    ),
    _kind(
        "a signed URL",
        "=",
        r"[?&;#](?:X-(?:Amz|Goog|Oss|Cos)-(?:Signature|Security-Token|Credential)|Signature|sig|hmac|token|jwt|"
        r"(?:access|auth|id|refresh|private|sas)[_-]?token|api[_-]?key|password|secret|AWSAccessKeyId|Key-Pair-Id)"
        r"=([^\s&'\"<>`\\)\]]{4,})",
        re.IGNORECASE,
    ),
)
_BEARER = re.compile(r"(?i)(?<![^\W_])(?:bearer|basic|token)[ \t]+([\w.~+/=-]{8,})")
_HEADER = re.compile(r"(?i)authorization\W{1,5}$")

# Names whose values are secret whatever they look like, and names whose values are if they look like chance. The names
# of special tokens (pad_token) are of neither kind, and a number is never secret.
_SECRET = (
    r"passw(?:or)?d|passphrase|pwd|secret|credentials?|"
    r"(?:api|access|secret|private|auth|account|signing|encryption|ssh|wandb|deploy)[_-]?keys?|"
    r"(?:hub|hf|huggingface|api|access|auth|refresh|bearer|session|security|github|gitlab|wandb|secret|deploy)[_-]?tokens?|"
    r"connection[_-]?string"
)
_SECRET_NAME = re.compile(rf"(?:^|[_.\s-])(?:{_SECRET})(?:$|[_.\s-](?:id|value|json|b64|base64)$)", re.IGNORECASE)
_LIKELY_NAME = re.compile(r"(?:token|wandb\w*|cookies?|authorization|sas|webhook|dsn)s?$", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?i)(?<![^\W_])(?:{_SECRET})\b\\?[\"'`]?\]?([ \t]*(?::=|[:=])[ \t]*|[ \t]+)(\\?[\"'])?([^\s\"'`,;\\\x1f]{{4,}})"
)
_OPTION = re.compile(r"--[\w-]*$")  # of a command, whose value may stand behind a space
_ASSIGNED_LITERALS = ("passw", "passphr", "pwd", "secret", "credential", "key", "token", "connection")
_BEFORE_LITERAL = 16  # characters of such a name before one of these
_PLACEHOLDER = re.compile(
    r"(?i)[<\[{(*$%].*|[.*x_#-]+|.*(?:your|placeholder|redacted|removed|hidden|dummy|example|changeme|environ|getenv).*|"
    r"(?:my|the|some|a)[_-].*|none|null|true|false|auto|yes|no|nil|undefined|required|optional|str(?:ing)?|\w*tokens?|\w*(?:key|password|secret)"
)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def secrets_in(text: str, is_vocabulary: bool = False) -> Iterator[Match]:
    """Tokens, keys and links in a text that open something.

    Args:
        text: Of any length.
        is_vocabulary: Whether any word may stand there; then a name before `=` says nothing.

    Example:
        >>> text = "push with hf_" + "a1B2" * 9
        >>> [(match.what, text[match.start :][:4]) for match in secrets_in(text)]
        [('a Hugging Face token', 'hf_a')]
        >>> list(secrets_in("pad_token='[PAD]', see https://huggingface.co/papers/2202.01855"))
        []
    """
    for kind in _TOKENS:
        if any(literal in text for literal in kind.literals):
            for found in kind.pattern.finditer(text):
                before = text[found.start() - 1 : found.start()]
                if not (before.isascii() and before.isalnum()):
                    yield Match(*found.span(), kind.what)
    for kind in _LINKS:
        if "://" in text:
            for found in kind.pattern.finditer(text):
                if not is_placeholder(found[1], words_too=False):
                    yield Match(*found.span(), kind.what)
    if not is_vocabulary:
        lower = lowered(text)
        yield from _headers(text, lower)
        yield from _assigned(text, lower)


def lowered(text: str) -> str:
    """In lower case, and every character at its place: one letter's is two characters long."""
    return text.replace("\u0130", "I").lower()


def places_of(literals: Iterable[str], text: str) -> Iterator[int]:
    """Where words begin in a text, one after another: ten times as quick as an expression of them all.

    Args:
        literals: Words.
        text: Of any length.

    Example:
        >>> list(places_of(("b", "a"), "abab"))
        [1, 3, 0, 2]
    """
    for literal in literals:
        start = text.find(literal)
        while start >= 0:
            yield start
            start = text.find(literal, start + 1)


def _headers(text: str, lower: str) -> Iterator[Match]:
    for start in places_of(("bearer", "basic", "token"), lower):
        if found := _BEARER.match(text, start):
            says_so = _HEADER.search(text[max(start - 20, 0) : start]) and not is_placeholder(found[1])
            if says_so or looks_like_chance(found[1]):
                yield Match(*found.span(), "an authorization header")


def _assigned(text: str, lower: str) -> Iterator[Match]:
    starts = {
        start
        for place in places_of(_ASSIGNED_LITERALS, lower)
        for start in range(max(place - _BEFORE_LITERAL, 0), place + 1)
    }
    for start in sorted(starts):
        if found := _ASSIGNED.match(text, start):
            quote, value = found[2], found[3]
            if found[1].isspace() and not _OPTION.search(text[max(start - 40, 0) : start]):
                continue
            says_so = quote or (len(value) >= 6 and re.search(r"\d", value) and re.search(r"[A-Za-z]", value))
            if says_so and not is_placeholder(value) and not re.search(r"[()\[\]{}<>$]|://", value):
                yield Match(*found.span(3), BY_NAME)


@functools.cache
def _strength(name: str) -> int:
    words = _WORD.sub("_", name)
    return 2 if _SECRET_NAME.search(words) else 1 if _LIKELY_NAME.search(words) else 0


def is_secret_value(name: str, value: str) -> bool:
    """Whether a text is secret by the name that it stands under.

    Args:
        name: A key, or a column's name.
        value: What stands there.

    Example:
        >>> is_secret_value("dbPassword", "hunter2"), is_secret_value("token", "a1B2" * 8)
        (True, True)
        >>> is_secret_value("pad_token", "[PAD]"), is_secret_value("hub_token", "<HUB_TOKEN>")
        (False, False)
    """
    strength = _strength(name)
    if strength == 2:
        return len(value) >= 4 and not is_placeholder(value)
    return strength == 1 and looks_like_chance(value)


def is_placeholder(value: str, words_too: bool = True) -> bool:
    """Whether a text stands in for a secret.

    Args:
        value: Where a secret could stand.
        words_too: Whether words such as `password` count, rather than marks alone.

    Example:
        >>> is_placeholder("$HF_TOKEN"), is_placeholder("your-key"), is_placeholder("hunter2")
        (True, True, False)
    """
    return bool(_PLACEHOLDER.fullmatch(value.strip()) if words_too else re.match(r"[<\[{($*%]", value))


def looks_like_chance(value: str) -> bool:
    """Whether a text has 16 characters or more and changes between letters and digits often, as words do not.

    Example:
        >>> looks_like_chance("a1B2" * 8), looks_like_chance("image_placeholder_12")
        (True, False)
    """
    if len(value) < 16 or not re.fullmatch(r"[\w+/=.~-]+", value):
        return False
    return len(re.findall(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])", value)) >= 4
