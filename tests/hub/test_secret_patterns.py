"""Tokens are told by their looks, passwords by their names, and neither by words."""

import pytest

from hf_unlab.hub.secret_patterns import (
    is_placeholder,
    is_secret_value,
    looks_like_chance,
    lowered,
    places_of,
    secrets_in,
)

CHANCE = "a1B2" * 15


@pytest.mark.parametrize(
    "token",
    [
        "api" + "_org_" + CHANCE,
        "sk" + "-" + CHANCE,
        "sk" + "-or-v1-" + CHANCE,
        *("gh" + f"{kind}_" + CHANCE for kind in "ousr"),
        "github" + "_pat_" + CHANCE,
        "AS" + "IA" + "A1B2" * 4,
        "ya29" + "." + CHANCE,
        "GOC" + "SPX-" + CHANCE,
        "xa" + "pp-1-" + CHANCE,
        "hooks.slack" + ".com/services/T1/B2/" + CHANCE,
        "discord" + ".com/api/webhooks/12/" + CHANCE,
        "rk" + "_test_" + CHANCE,
        "wandb" + "_v1_" + CHANCE,
        "r8" + "_" + CHANCE,
        "gsk" + "_" + CHANCE,
        "nv" + "api-" + CHANCE,
        "xa" + "i-" + CHANCE,
        "SG" + f".{CHANCE}.{CHANCE}",
        "dop" + "_v1_" + "0a" * 32,
        "dckr" + "_pat_" + CHANCE,
        "dapi" + "0a" * 16,
        "hvs" + "." + CHANCE,
        "PuTTY-User-Key" + "-File-2",
        "AGE-SECRET" + "-KEY-1" + "A1B2" * 9,
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "https://host.org/a?b=c&" + "sig=" + CHANCE,
        "https://host.org/a?" + "token=abcd",
        "s3://KEY:" + "se/cr+et@bucket/a",
        "https://host/a?Policy=x&amp;" + "Signature=abcdef",
    ],
)
def test_more_kinds(token):
    for text in (token, f"a {token}.", f'"{token}"', f"<{token}>"):
        for is_vocabulary in (False, True):
            matches = list(secrets_in(text, is_vocabulary))
            assert matches and all(text[match.start : match.end].strip('".<>') in token for match in matches)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf_transformers_speech_recognition_pipeline hf_AutoModelForSpeechRecognition",
        "risk-" + "assessment0-of-many-words-and-numbers",
        "sk-learn-compatible-estimators-for-everyone",
        "disk-" + CHANCE,
        "AKIAN and ASIA",
        "https://host:8080/a?x=me@host",
        "git@github.com:user/repo.git, ssh://git@github.com/user/repo",
        "https://<user>:<password>@host or https://me:$PASSWORD@host",
        "https://host/a?page=2&key=name&design=x",
        "Bearer tokens are basic knowledge",
        "Authorization: Bearer <token>",
        "api_key=os.environ['KEY'], password: str = None, secret = getenv('SECRET')",
        "a secret 17th-century society; the key: value2",
        "--pad_token '[PAD]' --num_tokens 12345678",
        "pad_token='<|endoftext|>'",
        "tokenizer_class: BertTokenizer2",
        "label_key: column12",
        "secret: true, credentials: none1, password: ********",
    ],
)
def test_words_are_no_secrets(text):
    assert list(secrets_in(text)) == []


@pytest.mark.parametrize(
    "name, value, is_secret",
    [
        ("password", "hunter2", True),
        ("WANDB_API_KEY", "abcdef", True),
        ("aws_secret_access_key", "abcdef", True),
        ("clientSecret", "abcdef", True),
        ("hub-token", "abcdef", True),
        ("credentials_json", "abcdef", True),
        ("token", "abcdef", False),
        ("tokens", CHANCE, True),
        ("image_token", "<image_1>", False),
        ("eos_token", "</s>", False),
        ("key", CHANCE, False),
        ("cookie", "chocolate", False),
        ("hub_token", "", False),
        ("secretary", "abcdef", False),
        ("api_key", "YOUR_API_KEY", False),
    ],
)
def test_values_by_their_names(name, value, is_secret):
    assert is_secret_value(name, value) is is_secret


def test_what_tells_them():
    assert (
        not looks_like_chance("0a1b") and not looks_like_chance("a1B2 " * 8) and not looks_like_chance("2202.01855v2")
    )
    assert is_placeholder("<token>") and not is_placeholder("token", words_too=False)
    assert lowered("İA") == "ia" and list(places_of(["aa"], "aaa")) == [0, 1]
