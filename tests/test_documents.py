"""The documents say what is there: trees, links, paths, and every snippet, on stand-ins where it names what is large.

What a document may say, and how it is tried:

- a fence is `python`, which is run; `console`, whose commands are parsed by what they start; `diff`, of which what is
  left by it is tried as one of these two; or `text`;
- a command in backticks is parsed too, and a path or module in backticks must exist;
- whatever is of none of these kinds fails.
"""

import ast
import functools
import io
import json
import pkgutil
import re
import tarfile

import pytest
from datasets import Dataset

from hf_unlab.testing import tiny_bert, tiny_clips, tiny_pairs, tiny_texts, tiny_tokenizer, tiny_wav2vec2
from tests.command_lines import PROGRAMS, known_options, parse
from tests.documents import (
    DOCUMENTS,
    ROOT,
    after,
    anchors,
    commands,
    fences,
    files_of_architecture,
    is_python,
    links,
    marked_up,
    name,
    rooms_of_readme,
)
from tests.modalities.image_text.dual_encoders import make

PACKAGE = ROOT / "hf_unlab"

# What snippets name, and what is taken in its place: small, and on this machine. Each must occur in some document.
STAND_INS = {
    '"answerdotai/ModernBERT-base"': '"models/bert"',
    'Source("stanfordnlp/imdb", split="unsupervised")': 'Source("ours/more.parquet")',
    '"open_clip:ViT-B-32"': '"open_clip:models/open_clip"',
    '"facebook/wav2vec2-base"': '"models/wav2vec2"',
    '"sentence-transformers/all-MiniLM-L6-v2"': '"models/bert"',
    "per_device_train_batch_size=128, learning_rate=2e-5": "per_device_train_batch_size=8, num_readers=1",
    "max_steps=10_000": 'max_steps=2, use_cpu=True, disable_tqdm=True, eval_strategy="no"',
    "sequence_length=512": "sequence_length=16",
    "batch_size=128, gradient_accumulation_steps=32, num_readers=32": (
        "batch_size=8, gradient_accumulation_steps=2, num_readers=2"
    ),
    "max_batch_seconds=87.5": "max_batch_seconds=4, max_seconds=1",
}
# Its code is cut from the dummy objective, which tests/objectives/test_dummy.py runs.
EXCERPTS, CUT_FROM = ROOT / "docs" / "new_objective.md", ROOT / "tests" / "objectives" / "dummy.py"
# Paths in backticks that a checkout does not hold.
NOT_IN_A_CHECKOUT = {
    ".venv/bin/": "made by make",
    "hf_unlab/_shipped/model_cards": "in the wheel",
    "hf_unlab.hub": "to come",
}

of_each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


# ---- Trees ----


def has_code(path):
    """Whether it is more than a docstring."""
    return len(ast.parse(path.read_text()).body) > 1


def test_readme_s_tree_names_each_room_and_no_other():
    rooms, beside = rooms_of_readme()
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")} - {"_moved"}
    assert sorted(rooms) == sorted(folders)
    assert beside and all((ROOT / folder).is_dir() for folder in beside)


def test_all_documents_have_the_rooms_in_the_order_of_imports():
    rooms, _ = rooms_of_readme()
    for document in ("CONTRIBUTING.md", "docs/architecture.md"):
        assert re.findall(r"^\| `(\w+)/` \|", (ROOT / document).read_text(), re.MULTILINE) == rooms
    listed = [file.split("/")[0] for file in files_of_architecture() if "/" in file]
    assert list(dict.fromkeys(listed)) == rooms


def test_the_list_of_files_names_each_file_once_and_no_other():
    listed = files_of_architecture()
    assert sorted(listed) == sorted(set(listed))
    files = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if has_code(path)}
    files = {path.as_posix() for path in files if path.parts[0] != "_moved"}
    assert files.symmetric_difference(listed) == set()


# ---- Links and paths ----


@of_each_document
def test_links_lead_somewhere(document):
    for link in links(document):
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@functools.cache
def ours():
    """The names that a path of this repository begins with."""
    return {path.name for folder in (ROOT, PACKAGE) for path in folder.iterdir()}


@of_each_document
def test_paths_and_modules_exist(document):
    for span in marked_up(document):
        if span in NOT_IN_A_CHECKOUT:
            continue
        if re.fullmatch(r"hf_unlab(\.\w+)+", span):
            pkgutil.resolve_name(span)
        is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span) and re.search(r"/|\.(py|md|ya?ml|toml)$", span)
        if is_path and (span.split("/")[0] in ours() or re.search(r"(/|\.(py|md|ya?ml|toml))$", span)):
            places = (ROOT, PACKAGE, document.parent, *ROOT.glob("recipes/*/"))
            assert any((place / span).exists() for place in places), f"no such file: {span}"


# ---- Commands ----


@of_each_document
def test_commands_are_understood(document):
    for fence in fences(document):
        text = after(fence.text) if fence.language == "diff" else fence.text
        is_of_commands = fence.language == "console" or (fence.language == "diff" and not is_python(text))
        for words in commands(text) if is_of_commands else ():
            parse(words)


@of_each_document
def test_commands_and_options_in_backticks_are_understood(document):
    for span in marked_up(document):
        program, *rest = span.split()
        scripts = [path for path in (document.parent / program, ROOT / program) if path.is_file()]
        if program in PROGRAMS and rest:
            parse(span.split())
        elif scripts and rest:
            parse(["python", name(scripts[0]), *rest])
        elif span.startswith("'.["):
            parse(["pip", "install", "-e", span.strip("'")])
        elif span.startswith("--"):
            options = {word for word in span.split() if word.startswith("--")}
            assert options <= known_options(), f"nothing has the option {span}"


@pytest.mark.parametrize(
    "command, error",
    [
        ("frobnicate", AssertionError),
        ("make tea", AssertionError),
        ("make quickstart RECIPES=masked", AssertionError),
        ("pip install -e .[video]", AssertionError),
        ("hf-unlab doctor --masking_probability 0.2", ValueError),
        ("accelerate launch --gpus 3 recipes/masked_lm/pretrain.py", SystemExit),
        ("accelerate launch recipes/masked_lm/train.py", AssertionError),
        ("python recipes/masked_lm/pretrain.py --masking_probability 0.2", ValueError),
        ("python recipes/wav2vec2/finetune_ctc.py --model out --minutes 2", ValueError),
    ],
)
def test_a_stale_command_fails(command, error, capsys):
    with pytest.raises(error):
        parse(command.split())


# ---- Python ----

SNIPPETS = [
    pytest.param(after(fence.text) if fence.language == "diff" else fence.text, id=f"{name(document)}-{number}")
    for document in DOCUMENTS
    for number, fence in enumerate(fences(document))
    if (fence.language == "python" or (fence.language == "diff" and is_python(after(fence.text))))
    and document.name != EXCERPTS.name
]


@of_each_document
def test_each_fence_is_of_a_kind_that_is_tried(document):
    assert document.read_text().count("\n```") == 2 * len(fences(document))
    assert {fence.language for fence in fences(document)} <= {"python", "console", "diff", "text"}


def test_excerpts_are_what_is_run():
    source = CUT_FROM.read_text()
    excerpts = [fence.text for fence in fences(EXCERPTS) if fence.language == "python"]
    assert len(excerpts) > 5
    assert [text for text in excerpts if text not in source] == []


def test_each_stand_in_is_for_something():
    text = "\n".join(snippet.values[0] for snippet in SNIPPETS)
    assert [words for words in STAND_INS if words not in text] == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What snippets find around them: texts, pairs, recordings, models, and a checkpoint in `out`."""
    folder = tmp_path_factory.mktemp("world")
    for kind in ("ours", "shards", "recordings", "models"):
        (folder / kind).mkdir()
    texts = [{"text": text} for text in tiny_texts(200, num_words=30)]
    (folder / "ours" / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    Dataset.from_list(texts[::-1]).to_parquet(folder / "ours" / "more.parquet")
    for shard in range(2):
        with tarfile.open(folder / "shards" / f"{shard}.tar", "w") as tar:
            for number, row in enumerate(tiny_pairs(60, seed=shard)):
                for suffix, content in (("jpg", row["image"]["bytes"]), ("txt", row["text"].encode())):
                    info = tarfile.TarInfo(f"{shard}-{number:03d}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    for number, row in enumerate(tiny_clips(60)):
        (folder / "recordings" / f"{number}.wav").write_bytes(row["audio"]["bytes"])
    for path in (folder / "out", folder / "models" / "bert"):
        tiny_bert().save_pretrained(path)
        tiny_tokenizer().save_pretrained(path)
    make("open_clip").save_pretrained(folder / "models" / "open_clip")
    for part in tiny_wav2vec2():
        part.save_pretrained(folder / "models" / "wav2vec2")
    return folder


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_runs(snippet, world, tmp_path, monkeypatch):
    for path in world.iterdir():
        if path.name != "out" or "TrainingArguments" not in snippet:  # what trains makes its own
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for words, stand_in in STAND_INS.items():
        snippet = snippet.replace(words, stand_in)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})
