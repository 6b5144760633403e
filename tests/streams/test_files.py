"""What the user names is what is read: no split is guessed from parts of names."""

import json
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from hf_unlab.streams import files as files_module
from hf_unlab.streams.files import file_builder, folder_files, named_files
from hf_unlab.streams.sources import Source, open_stream


@pytest.fixture
def folder(tmp_path):
    """Makes files of one row, which is their name."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"text": name}) + "\n" if ".json" in name else name + "\n")
        return str(tmp_path)

    return make


def texts_of(*args, **options):
    return [row["text"] for row in open_stream(Source(*args, **options), ["text"])]


GUESSED = ("latest_news.txt", "my training notes.txt", "notes-test.txt", "sub/train/a.txt", "sub/b.txt")


@pytest.mark.parametrize("kind", ["folder", "glob", "list", "data_dir", "folder in a list"])
def test_names_that_sound_like_splits_leave_nothing_out(folder, kind, caplog):
    path = folder(*GUESSED)
    given = {
        "folder": ((path,), {}),
        "glob": (("text",), {"data_files": f"{path}/**/*.txt"}),
        "list": (("text",), {"data_files": [f"{path}/{name}" for name in GUESSED]}),
        "data_dir": (("text",), {"data_dir": path}),
        "folder in a list": (("text",), {"data_files": [path]}),
    }
    args, options = given[kind]
    assert sorted(texts_of(*args, **options)) == sorted(GUESSED)
    assert not any("leaves out" in said for said in caplog.messages)


@pytest.mark.parametrize(
    "names, split, read",
    [
        (("train.jsonl", "test.jsonl"), None, ["train.jsonl"]),
        (("train.jsonl", "test.jsonl"), "test", ["test.jsonl"]),
        (("data/train/cat/a.jsonl", "data/test/cat/b.jsonl"), None, ["data/train/cat/a.jsonl"]),
        (("data/train-00000-of-00001.json", "data/validation-00000-of-00001.json"), "validation", None),
        (("train_0.jsonl", "train_1.jsonl", "dev.jsonl"), None, ["train_0.jsonl", "train_1.jsonl"]),
        (("train.jsonl", "more.jsonl"), None, ["more.jsonl", "train.jsonl"]),  # not every file is of a split
        (("test.jsonl", "dev.jsonl"), None, ["dev.jsonl", "test.jsonl"]),  # none is to be trained on
        (("my_train_a.jsonl", "my_test_b.jsonl"), "test", ["my_test_b.jsonl"]),  # asked for
        (("a.jsonl", "b.jsonl"), "train", ["a.jsonl", "b.jsonl"]),
    ],
)
def test_a_folder_has_splits_where_every_name_is_that_of_one(folder, names, split, read):
    found = folder_files(folder(*names), split=split)
    assert texts_of(folder(*names), split=split) == (read or [name for name in names if split in name])
    assert len(found.read) + len(found.left_out) == len(names)


def test_what_is_left_out_is_said_once(folder, caplog):
    path = folder("a.txt", "b.txt", "c.csv", ".hidden.txt", "__pycache__/d.txt", "README.md")
    for _ in range(2):
        assert texts_of(path) == ["a.txt", "b.txt"]
    assert caplog.messages == [f"{path!r} reads 2 of 3 files and leaves out c.csv."]
    assert folder_files(folder("train.txt", "test.txt"), split="train").summary() == (
        "reads 1 of 5 files (the split train) and leaves out a.txt, b.txt, c.csv and 1 more"
    )


def test_splits_that_are_not_there_are_errors(folder):
    path = folder("train.txt", "test.txt")
    with pytest.raises(ValueError, match=r"unknown split 'dev'; splits: \['test', 'train'\]"):
        folder_files(path, split="dev")
    (Path(path) / "train.txt").unlink()
    (Path(path) / "test.txt").rename(Path(path) / "a.txt")
    with pytest.raises(ValueError, match="its files have no split 'test'"):
        folder_files(path, split="test")
    with pytest.raises(ValueError, match="files that are named have no splits"):
        open_stream(Source("text", data_files=f"{path}/*.txt", split="test"))


def test_a_card_says_by_itself_which_files_are_which(folder):
    path = folder("one.jsonl", "two.jsonl")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: two.jsonl\n---\n"
    (Path(path) / "README.md").write_text(card)
    assert texts_of(path) == ["two.jsonl"]
    (Path(path) / "README.md").write_text("# Data\n")
    assert texts_of(path) == ["one.jsonl", "two.jsonl"]


MAGIC = ("a[1].txt", "b*c?.txt", "with space.txt", "a1.txt")


def test_a_file_s_own_name_goes_before_a_glob(folder, monkeypatch):
    path = folder("[2]/" + MAGIC[0], *MAGIC)
    for name in MAGIC:
        assert texts_of(f"{path}/{name}") == [name]
        assert texts_of("text", data_files=[f"{path}/{name}"]) == [name]
        assert texts_of("text", data_files=name, data_dir=path) == [name]
    assert texts_of(f"{path}/[2]") == ["[2]/a[1].txt"]
    monkeypatch.setenv("HOME", path)
    assert texts_of("~/[2]") == texts_of("text", data_dir="~/[2]") == texts_of("text", data_files=["~/[2]/*.txt"])
    assert texts_of("text", data_files=["~/a1.txt", f"{path}/a?.txt"]) == ["a1.txt"]  # each once


def test_what_stands_for_nothing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*gone\.txt'$"):
        named_files("text", ["gone.txt"], str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*\*\.txt' \(a glob\)"):
        named_files("text", [f"{tmp_path}/*.txt"])
    (tmp_path / "a.doc").write_text("")
    with pytest.raises(ValueError, match=r"of no format that is known: a\.doc"):
        folder_files(str(tmp_path))


def test_tabs_separate_tsv(tmp_path):
    (tmp_path / "a.tsv").write_text("n\ttext\n1\tone, two\n")
    for path in (tmp_path, tmp_path / "a.tsv"):
        assert texts_of(str(path)) == ["one, two"]
    assert file_builder("a.TSV.gz") == "csv"


def test_what_save_to_disk_made_is_read(tmp_path):
    parts = {name: Dataset.from_dict({"text": [name] * 3}) for name in ("train", "test")}
    parts["train"].save_to_disk(tmp_path / "one", num_shards=2)
    DatasetDict(parts).save_to_disk(tmp_path / "both")
    assert texts_of(str(tmp_path / "one")) == texts_of(str(tmp_path / "both")) == ["train"] * 3
    assert texts_of(str(tmp_path / "both"), split="test") == ["test"] * 3
    assert len(folder_files(str(tmp_path / "one")).read) == 2
    with pytest.raises(ValueError, match=r"unknown split 'dev'; splits: \['train', 'test'\]"):
        folder_files(str(tmp_path / "both"), split="dev")
    with pytest.raises(ValueError, match="saved without splits"):
        folder_files(str(tmp_path / "one"), split="test")


@pytest.mark.parametrize("suffix", [".zst", ".lz4"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(files_module._PACKAGES, suffix, "not_there")
    (tmp_path / f"a.jsonl{suffix}").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"a\.jsonl\{suffix} needs the package not_there: pip install not_there\."):
        open_stream(Source(str(tmp_path)))


def test_links_among_folders_give_each_file_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert [Path(file).name for file in folder_files(str(tmp_path)).read] == ["a.txt", "b.txt"]


def test_what_only_looks_like_a_file_of_data_is_left_out(tmp_path):
    for name in ("a.jsonl", "b.jsonl.gz", "a.jsonl.bak", "a.jsonl.md5", "A.JSONL"):
        (tmp_path / name).write_text("")
    files = folder_files(str(tmp_path), "json")
    assert {Path(file).name for file in files.read} == {"a.jsonl", "b.jsonl.gz", "A.JSONL"}
    assert {Path(file).name for file in files.left_out} == {"a.jsonl.bak", "a.jsonl.md5"}


def test_test_files_that_are_read_with_others_are_said(tmp_path):
    for name in ("train_en.txt", "test_en.txt"):
        (tmp_path / name).write_text("a")
    said = folder_files(str(tmp_path)).summary()
    assert said == "reads all files, test_en.txt too: if that is not to be trained on, name a split (split: train)"
    (tmp_path / "test_en.txt").unlink()
    assert folder_files(str(tmp_path)).summary() == ""


def test_one_metadata_file_for_all_splits_does_not_hide_them(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.png").write_bytes(b"")
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    files = folder_files(str(tmp_path), "imagefolder")
    assert [str(Path(file).relative_to(tmp_path)) for file in files.read] == ["metadata.csv", "train/1.png"]
    assert files.split == "train"
