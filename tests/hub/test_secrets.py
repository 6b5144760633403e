"""What is planted in any file is found and not repeated, and clean checkpoints are clean."""

import base64
import gzip
import io
import itertools
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import yaml
from matplotlib import pyplot
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from transformers import BertForSequenceClassification

from hf_unlab.hub import machine_names
from hf_unlab.hub.secrets import Finding, find_secrets
from hf_unlab.testing import (
    tiny_bert,
    tiny_dual_encoder,
    tiny_mel_model,
    tiny_static_model,
    tiny_texts,
    tiny_tokenizer,
    tiny_wav2vec2,
)
from tests.modalities.image_text.dual_encoders import make

# In parts, so that no host of repositories takes them for what they look like.
CHANCE = "a1B2" * 9
SECRETS = {
    "a Hugging Face token": "hf_" + CHANCE,
    "an Anthropic key": "sk-" + "ant-api03-" + CHANCE,
    "an OpenAI key": "sk-" + "proj-" + CHANCE,
    "a GitHub token": "gh" + "p_" + CHANCE,
    "a GitLab token": "gl" + "pat-" + CHANCE[:20],
    "an AWS access key": "AK" + "IA" + "A1B2" * 4,
    "a Google key": "AI" + "za" + CHANCE[:35],
    "a Slack token": "xo" + "xb-1234567890-" + CHANCE,
    "a JSON web token": "ey" + f"J{CHANCE}.eyJ{CHANCE}.{CHANCE}",
    "an npm token": "npm" + "_" + CHANCE,
    "a PyPI token": "pypi" + "-AgEI" + CHANCE,
    "a Stripe key": "sk_" + "live_" + CHANCE[:24],
    "an Azure key": "AccountKey=" + "a1B2" * 22 + "==",
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "a link with a password": "https://me:" + "wordsmith@host.org/a",
    "a signed URL": "https://bucket.host.org/key?X-Amz-Date=1&X-Amz-" + "Signature=" + "0a" * 32,
    "an authorization header": "Authorization: " + "Bearer " + CHANCE,
    "a path of this machine": "/home/mustermann/runs",
    "a user name": "mustermann",
}
ROW = "The ferry leaves at nine, and nobody has told the twelve people who wait on the other side of it."


def png(text):
    info = PngInfo()
    info.add_text("Comment", text)
    return image("PNG", pnginfo=info)


def compressed_png(text):
    info = PngInfo()
    info.add_itxt("Source", text, zip=True)
    return image("PNG", pnginfo=info)


def image(format, **options):
    opened = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(opened, format, **options)
    return opened.getvalue()


def exif(text):
    tags = Image.Exif()
    tags[0x010E] = text
    return tags.tobytes()


def safetensors(metadata, name="weight"):
    header = {"__metadata__": metadata, name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + b"\1\2\3\4"


def zipped(name, content):
    opened = io.BytesIO()
    with zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return opened.getvalue()


FORMATS = {
    "config.json": lambda text: json.dumps({"a": {"b": [1, {"c": text}]}}),
    "keys.json": lambda text: json.dumps({text: {"b": 1.5}}),
    "nested.json": lambda text: json.dumps({"args": json.dumps({"x": [text]})}),
    "escaped.json": lambda text: json.dumps({"a": text}).replace(text[1], f"\\u{ord(text[1]):04x}"),
    "twice.json": lambda text: f'{{"a": {json.dumps(text)}, "a": "clean"}}',
    "broken.json": lambda text: f'{{"a": "{text}",',
    "log.jsonl": lambda text: f'{{"a": 1}}\n{{"b": "{text}"}}\n',
    "recipe.yaml": lambda text: yaml.safe_dump({"a": {"b": [text]}}),
    "comment.yaml": lambda text: f"a: 1\n# {text}\n",
    "README.md": lambda text: f"---\nlicense: mit\nextra: {json.dumps(text)}\n---\n# Model\n",
    "card/README.md": lambda text: f"# Model\n\n```python\nx = '{text}'\n```\n",
    "notes.txt": lambda text: "words\n" * 5000 + text,
    "table.csv": lambda text: f'name,value\na,"1"\nb,"{text}"\n',
    "page.html": lambda text: f"<html><body><p title='{text}'>a</p></body></html>",
    "plot.svg": lambda text: f"<svg><metadata>{text}</metadata></svg>",
    "model.safetensors": lambda text: safetensors({"settings": json.dumps({"a": text})}),
    "tensor.safetensors": lambda text: safetensors({"format": "pt"}, f"a.{text}"),
    "plot.png": png,
    "compressed.png": compressed_png,
    "exif.png": lambda text: image("PNG", exif=exif(text)),
    "behind.png": lambda text: image("PNG") + text.encode(),
    "photo.jpg": lambda text: image("JPEG", exif=exif(text)),
    "comment.jpg": lambda text: image("JPEG", comment=text.encode()),
    "photo.webp": lambda text: image("WEBP", exif=exif(text)),
    "weights.onnx": lambda text: bytes(range(256)) * 40 + b"\0" + text.encode() + b"\0" + bytes(range(256)),
    "wide.onnx": lambda text: b"\xff\0\xfe" * 7 + text.encode("utf-16-le") + b"\xff\xff",
    "wide.txt": lambda text: text.encode("utf-16"),
    "notes.txt.gz": lambda text: gzip.compress(text.encode()),
    "all.zip": lambda text: zipped("inner/config.json", json.dumps({"a": text})),
    "no_suffix": lambda text: text,
}
# Any word may stand in these.
VOCABULARIES = {
    "vocab.txt": lambda text: f"[PAD]\n{text}\nthe\n",
    "merges.txt": lambda text: f"#version: 0.2\nt he\n{text} a\n",
    "vocab.json": lambda text: json.dumps({"the": 0, text: 1}),
    "tokenizer.json": lambda text: json.dumps({"version": "1.0", "model": {"vocab": {"the": 0, text: 1}}}),
    "spm.model": lambda text: b"\n\x0e\n\x05<unk>\x15\0\0\0\0" + text.encode() + b"\x15\0\xff",
}


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def scan(folder, *names, **options):
    return find_secrets(folder, names, **{"user_names": ["mustermann"], **options})


# Each format with each kind in turn, and the first format with all.
CASES = [
    *zip(FORMATS, itertools.cycle(SECRETS), strict=False),
    *zip(FORMATS, itertools.cycle(reversed(SECRETS)), strict=False),
    *(("config.json", what) for what in SECRETS),
    *(("README.md", what) for what in SECRETS),
]


@pytest.mark.parametrize("name, what", list(dict.fromkeys(CASES)))
def test_what_is_planted_is_found_and_not_repeated(tmp_path, name, what):
    secret = SECRETS[what]
    found = scan(tmp_path, write(tmp_path, name, FORMATS[name](secret)))
    assert what in {finding.what for finding in found}
    assert all(finding.file == name and finding.where for finding in found)
    assert secret.removeprefix("https://me:")[5:] not in repr(found)


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("what", SECRETS)
def test_in_vocabularies_only_what_no_word_is_is_found(tmp_path, name, what):
    found = scan(tmp_path, write(tmp_path, name, VOCABULARIES[name](SECRETS[what])))
    is_a_word = what in ("a user name", "an authorization header")
    assert [finding.what for finding in found] == ([] if is_a_word else [what])


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("wide.onnx", "weights.onnx")])
def test_raw_examples_are_found(tmp_path, name):
    shown = ROW.upper().replace(", ", "  ") if name == "page.html" else ROW
    write(tmp_path, name, FORMATS[name](f"See {shown}"))
    if name in ("behind.png", "photo.webp"):  # binary data, where letters stand by chance
        return
    found = scan(tmp_path, name, raw_texts=[*tiny_texts(50, num_words=20), ROW])
    assert {finding.what for finding in found} == {"a raw example"}
    assert "nobody" not in repr(found)
    assert scan(tmp_path, name, raw_texts=tiny_texts(50, num_words=20)) == []


def test_a_row_s_middle_and_end_are_found_and_short_rows_are_not(tmp_path):
    write(tmp_path, "README.md", "wrapped: nobody has told the twelve\npeople who wait on the other side of it. Yes.")
    assert [finding.where for finding in scan(tmp_path, "README.md", raw_texts=[ROW])] == ["line 1"]
    assert scan(tmp_path, "README.md", raw_texts=["people who wait on the other side", "yes"]) == []


@pytest.mark.parametrize(
    "name, content, found",
    [
        (
            "a.json",
            '{"training": {"db_password": "hunter"}}',
            ("training.db_password", "a password or key, by its name"),
        ),
        ("a.json", '{"apiKey": ["hunter22"]}', ("apiKey", "a password or key, by its name")),
        ("a.json", json.dumps({"token": CHANCE}), ("token", "a password or key, by its name")),
        ("a.yaml", "wandb:\n  api_key: " + "0a" * 20, ("line 2", "a password or key, by its name")),
        ("a.csv", "name,secret\nx,hunter\n", ("line 2", "a password or key, by its name")),
        ("README.md", "---\nhub_token: hunter\n---\n", ("hub_token", "a password or key, by its name")),
        ("README.md", "export\n`WANDB_API_KEY=hunter22`", ("line 2", "a password or key, by its name")),
        ("README.md", "run.py --hub_token hunter22", ("line 1", "a password or key, by its name")),
        ("a.txt", "C:\\Users\\Max\\runs", ("line 1", "a path of this machine")),
        ("a.json", '{"a": "C:\\\\Users\\\\Max"}', ("a", "a path of this machine")),
        ("a.txt", "\n/Users/max/a", ("line 2", "a path of this machine")),
        ("a.txt", "see file:///data/a", ("line 1", "a path of this machine")),
        ("a.txt", "/root/.cache", ("line 1", "a path of this machine")),
        ("a.txt", "out=/tmp/x", ("line 1", "a path of this machine")),
        ("a.txt", "/scratch-2/x", ("line 1", "a path of this machine")),
        ("a.txt", "by <max@mustermann.de>", ("line 1", "an e-mail address")),
        ("a.txt", "by Max  Mustermann,", ("line 1", "a user name")),
        ("runs.txt", "MAX_MUSTERMANN_2", None),
        ("runs.txt", "runs/mustermann_2/a", ("line 1", "a user name")),
        ("mustermann.txt", "", ("the file's name", "a user name")),
    ],
)
def test_names_and_paths(tmp_path, name, content, found):
    names = ["mustermann", "Max Mustermann", "max@mustermann.de"]
    findings = scan(tmp_path, write(tmp_path, name, content), user_names=names if found else ["ustermann"])
    assert [(finding.where, finding.what) for finding in findings] == ([found] if found else [])


def test_a_key_that_is_secret_is_not_shown_as_a_place(tmp_path):
    token = SECRETS["a Hugging Face token"]
    write(tmp_path, "a.json", json.dumps({token: {"x": "/home/mm/x"}, ROW: {"y": "/home/mm/y"}}))
    places = [finding.where for finding in scan(tmp_path, "a.json", raw_texts=[ROW])]
    assert "hf_a....x" in places
    assert token not in repr(places) and "ferry" not in repr(places)


class Call:
    def __reduce__(self):
        return print, ("run",)


def saved(value, **options):
    opened = io.BytesIO()
    torch.save(value, opened, **options)
    return opened.getvalue()


def objects():
    opened = io.BytesIO()
    np.save(opened, np.array([{}], dtype=object), allow_pickle=True)
    return opened.getvalue()


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.bin", "anything"),
        ("head.joblib", "anything"),
        ("training_args.bin", pickle.dumps({})),
        *((f"protocol_{protocol}.json", pickle.dumps(Call(), protocol)) for protocol in range(6)),
        ("config.json", saved({"a": torch.zeros(1)})),
        ("legacy.safetensors", saved({"a": torch.zeros(1)}, _use_new_zipfile_serialization=False)),
        ("vocab.txt", zlib.compress(pickle.dumps(Call()))),
        ("vocab.txt.gz", gzip.compress(pickle.dumps(Call()))),
        ("embeddings.npy", objects()),
        ("embeddings.npz", zipped("a.npy", objects())),
    ],
)
def test_pickles_are_refused_under_any_name(tmp_path, name, content):
    (found,) = scan(tmp_path, write(tmp_path, name, content))
    assert (found.file, found.what) == (name, "a pickle, which may run code")


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_a_header_whose_length_begins_like_a_pickle_is_none(tmp_path, length):
    content = safetensors({"format": "x" * (length - len(safetensors({"format": ""})) + 12)})
    assert content[0] == 0x80 and scan(tmp_path, write(tmp_path, "a.safetensors", content)) == []


def test_an_image_in_a_page_is_read(tmp_path):
    encoded = base64.b64encode(png("/home/mm/plots")).decode()
    write(tmp_path, "a.html", f'<img src="data:image/png;base64,{encoded}">')
    assert [finding.what for finding in scan(tmp_path, "a.html")] == ["a path of this machine"]


def test_this_machine_s_folders_are_found_wherever_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/data/people/mm"))
    write(tmp_path, "vocab.txt", "a\n/data/people/mm/a\n/data/people/mmm\n")
    assert scan(tmp_path, "vocab.txt") == [Finding("vocab.txt", "line 2", "a path of this machine")]


def test_names_are_this_machine_s_by_default(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_names.getpass, "getuser", lambda: "mustermann")
    write(tmp_path, "a.txt", "by mustermann")
    assert [finding.what for finding in find_secrets(tmp_path, ["a.txt"])] == ["a user name"]


# ---- Clean ----

README = """---
license: apache-2.0
tags: [hf_unlab, custom-tag]
base_model: mustermann/model
datasets: [stanfordnlp/imdb]
---
# A model by [mustermann](https://huggingface.co/mustermann)

See https://huggingface.co/papers/2202.01855, https://arxiv.org/abs/2202.01855?context=cs, https://github.com/user/repo
at 6b2a0dc4f1e0a9b87c6d5e4f3a2b1c0d9e8f7a6b; sha256 `9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`.

```python
from transformers import AutoModel

model = AutoModel.from_pretrained("mustermann/model", token=True)
tokenizer.pad_token = tokenizer.eos_token
api_key = os.environ["API_KEY"]
```

    accelerate launch pretrain.py base.yaml --output_dir outputs/x --hub_token $HF_TOKEN
    curl -H "Authorization: Bearer $HF_TOKEN" "https://host/a?token=$HF_TOKEN" http://localhost:8080/a

| password | secret | tokens |
|---|---|---|
| a key: value | 12:30 | num_tokens=100000 |

Copyright 2026 Max Mustermann <max@mustermann.de>. ~/runs, outputs/tmp/x, data/home/x, https://host/home/mm/runs
"""


def save_bert(folder):
    tiny_bert().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def save_classifier(folder):
    names = ["password", "secret", "token", "home"]
    config = tiny_bert().config
    config.id2label, config.label2id = dict(enumerate(names)), {name: index for index, name in enumerate(names)}
    BertForSequenceClassification(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def save_adapter(folder):
    config = peft.LoraConfig(target_modules=["query", "value"], r=2)
    model = peft.get_peft_model(tiny_bert(), config)
    model.peft_config["default"].base_model_name_or_path = "mustermann/model"
    model.save_pretrained(folder, save_embedding_layers=False)


def save_with_processor(model, processor):
    def save(folder):
        model.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save


def save_card(folder):
    (folder / "README.md").write_text(README)
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    figure.savefig(folder / "plot.png")
    figure.savefig(folder / "plot.svg")
    pyplot.close(figure)
    Image.new("RGB", (8, 8)).save(folder / "a.jpg")
    (folder / "results.json").write_text(json.dumps({"commit": "0a1b" * 10, "token_accuracy": 0.5, "seconds": 3}))
    (folder / "predictions.csv").write_text("token,label,key\nthe,noun,a\npassword,noun,b\n")


def save_settings(folder):
    settings = {"hub_token": "<HUB_TOKEN>", "push_to_hub_token": None, "mask_token": "[MASK]", "password": 3}
    settings |= {
        "image_token": "<image_placeholder_12>",
        "num_tokens": 8,
        "token_type_ids": [0, 1],
        "cache_key": "0a" * 20,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "recipe.yaml").write_text("output_dir: outputs/x\npad_token: '[PAD]'\nseed: 1\n")
    (folder / "vocab.txt").write_text("cat\ndog\nmustermann\npassword\nhf_\nsk-\n/home\n/tmp/x\n.")


CLEAN = {
    "bert": save_bert,
    "classifier": save_classifier,
    "adapter": save_adapter,
    "static": lambda folder: tiny_static_model().save_pretrained(folder),
    "dual encoder": lambda folder: tiny_dual_encoder().save_pretrained(folder),
    "open_clip": lambda folder: make("open_clip").save_pretrained(folder),
    "wav2vec2": lambda folder: save_with_processor(*tiny_wav2vec2())(folder),
    "mel": lambda folder: save_with_processor(*tiny_mel_model())(folder),
    "card": save_card,
    "settings": save_settings,
    "tensors": lambda folder: save_file({"a": torch.randn(10_000)}, folder / "a.safetensors", {"format": "pt"}),
    "random": lambda folder: (folder / "a.onnx").write_bytes(np.random.default_rng(0).bytes(1 << 20)),
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's
@pytest.mark.parametrize("kind", CLEAN)
def test_clean_checkpoints_are_clean(tmp_path, kind):
    CLEAN[kind](tmp_path)
    files = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert files
    names = ["mustermann", "Max Mustermann", "max@mustermann.de"]
    assert scan(tmp_path, *files, user_names=names, raw_texts=[ROW]) == []
    assert find_secrets(tmp_path, files) == []


def test_tensors_are_not_read(tmp_path):
    with (tmp_path / "a.safetensors").open("wb") as opened:
        opened.write(safetensors({"format": "pt"}))
        opened.truncate(1 << 40)  # a hole
    assert scan(tmp_path, "a.safetensors") == []
