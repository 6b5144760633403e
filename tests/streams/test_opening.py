"""Loose files go to our builders, all else to load_dataset; what a setting cannot act on is refused."""

import datasets
import pytest

from hf_unlab.streams import opening
from hf_unlab.streams.opening import find_files
from hf_unlab.streams.sources import Source, open_stream


def test_what_the_hub_has_goes_to_load_dataset_as_it_was_named(monkeypatch):
    told = {}

    def load_dataset(*args, **kwargs):
        told.update(kwargs, args=args)
        return datasets.Dataset.from_dict({"text": ["one"]}).to_iterable_dataset()

    monkeypatch.setattr(opening.datasets, "load_dataset", load_dataset)
    source = Source("some/reviews", "en", data_dir="data", data_files="*.csv", revision="v1", options={"sep": ";"})
    assert find_files(source) is None
    assert list(open_stream(source, ["text"])) == [{"text": "one"}]
    assert told == {
        "args": ("some/reviews", "en"),
        "split": "train",
        "data_files": ["*.csv"],
        "data_dir": "data",
        "revision": "v1",
        "sep": ";",
        "streaming": True,
    }
    open_stream(Source("some/reviews", split="validation"))
    assert told["split"] == "validation"


@pytest.mark.parametrize(
    "source, words",
    [
        (Source("builtin:docstrings", options={"sep": ";"}), "options={'sep': ';'} means nothing"),
        (Source("json", data_files="a.jsonl", revision="main"), "revision='main' means nothing"),
        (Source("json", "en", data_files="a.jsonl"), "name='en' means nothing"),
        (Source("some/reviews", on_broken="skip"), "on_broken='skip' is known for files"),
    ],
)
def test_settings_that_cannot_act_are_refused(source, words):
    with pytest.raises(ValueError) as caught:
        open_stream(source)
    assert words in str(caught.value)


def test_on_broken_has_two_values():
    with pytest.raises(ValueError, match="on_broken='ignore'; it can be 'stop' or 'skip'"):
        Source("a.txt", on_broken="ignore")


def test_files_inside_a_folder_that_is_named(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text(f'{{"text": "{name}"}}\n')
    for source in (
        Source(str(tmp_path), data_files="data/b.*"),
        Source(str(tmp_path), data_dir="data", data_files=["b.jsonl"]),
        Source("json", data_dir=str(tmp_path / "data"), data_files="b*"),
    ):
        assert [row["text"] for row in open_stream(source, ["text"])] == ["b.jsonl"]
    assert len(list(open_stream(Source(str(tmp_path), data_dir="data"), ["text"]))) == 2
