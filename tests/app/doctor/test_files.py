"""Before a run starts: how many files are read, which cannot be, and what is missing to read them."""

import pytest

from hf_unlab.app.doctor import examine, needs_distinct_examples, read_settings
from hf_unlab.app.doctor.data import check_data
from hf_unlab.app.doctor.files import check_files
from hf_unlab.streams import files
from hf_unlab.streams.sources import Source
from tests.app.doctor.helpers import detail_of


def findings_of(*args, **options):
    return [(one.status, one.detail) for one in check_files(Source(*args, **options), ["text", "image"])]


def test_files_are_counted(texts, tmp_path):
    texts("a.jsonl", 3), texts("b.jsonl", 3)
    assert findings_of(str(tmp_path)) == [("ok", "2 files of json")]
    (tmp_path / "more.csv").write_text("text\none\n")
    assert findings_of(str(tmp_path)) == [("warning", "reads 2 of 3 files and leaves out more.csv")]
    assert findings_of("builtin:docstrings") == []


@pytest.mark.parametrize("number", range(6))
def test_a_broken_file_among_the_first_and_the_last_is_a_problem(texts, tmp_path, number):
    for k in range(6):
        texts(f"{k}.jsonl", 50)
    with (tmp_path / f"{number}.jsonl").open("a") as file:
        file.write('{"text": "cut')
    _, *problems = findings_of("json", data_files=f"{tmp_path}/*.jsonl")
    if number in (2, 3):
        assert not problems
    else:
        ((status, detail),) = problems
        assert status == "problem" and f"{number}.jsonl" in detail and "line 51: Unterminated string" in detail


def test_a_file_that_lacks_what_the_first_has_is_a_problem(texts, tmp_path):
    texts("a.jsonl", 3), texts("b.jsonl", 3, column="body")
    _, (status, detail) = findings_of("json", data_files=f"{tmp_path}/*.jsonl")
    assert status == "problem" and "b.jsonl' has no column 'text': its columns are ['body']" in detail


def test_a_missing_package_is_a_problem(texts, tmp_path, monkeypatch):
    (tmp_path / "a.jsonl.zst").write_bytes(b"")
    monkeypatch.setitem(files._PACKAGES, ".zst", "no_such_package")
    settings = read_settings(["--dataset", str(tmp_path)])
    status, detail = detail_of("files", check_data(settings, 4))
    assert status == "problem" and "needs the package no_such_package: pip install no_such_package" in detail


@pytest.mark.parametrize(
    "argv, config, expected",
    [
        ([], "masked_lm", False),
        ([], "image_text", True),
        ([], "somewhere", False),  # any objective could be meant
        (["--image_column", "jpg", "--text_column=caption"], "somewhere", True),
        (["--max_characters", "9"], "somewhere", False),
    ],
)
def test_contrastive_runs_are_known_by_their_options_or_folder(tmp_path, argv, config, expected):
    path = tmp_path / config / "tiny.yaml"
    path.parent.mkdir()
    path.write_text("dataset: a.jsonl\n")
    assert needs_distinct_examples(["--config", str(path), *argv]) is expected


@pytest.mark.parametrize(
    "num_readers, status, words",
    [
        (
            None,
            "ok",
            "12, the default for 1 process; processes x workers can be 1, each with 12: one for each",
        ),
        (24, "ok", "24; processes x workers can be 1 or 2, each with 12"),
        (8, "problem", "num_readers=8 is too low for steps of 12 micro-batches whose examples must all differ"),
    ],
)
def test_each_micro_batch_of_a_contrastive_step_has_a_reader(texts, quick, num_readers, status, words):
    options = ["--dataset", texts("a.jsonl", 99), "--image_column", "text", "--gradient_accumulation_steps", "12"]
    options += ["--num_readers", str(num_readers)] if num_readers else []
    found = detail_of("readers", list(examine(options, num_examples=4)))
    assert found[0] == status and words in found[1]
