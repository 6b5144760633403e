"""Labelled data as files and folders hold it: with blanks, without labels, in the wrong folders, too large."""

import gc
import json
from collections import Counter

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.evaluation.label_reading import RowSample, open_labelled, read_rows, sample_rows, warn_of
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_pairs

# pandas leaves its file to the garbage collector when only the first rows of a CSV file are read
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def _collect_here():
    yield
    gc.collect()  # here, where that warning is expected


@pytest.fixture
def write(tmp_path):
    def write_text(name, text):
        (tmp_path / name).write_text(text)
        return Source(str(tmp_path / name))

    return write_text


def labels_of(source, **more):
    return [row["label"] for row in read_rows(source, **more).rows]


def test_blanks_in_a_csv_leave_whole_numbers_whole(write):
    found = read_rows(write("a.csv", "text,label\na,1201\nb,\nc,7\n"), "text")
    assert found.rows == [{"text": "a", "label": "1201"}, {"text": "c", "label": "7"}]
    assert (found.num_read, found.num_unlabelled, found.is_whole) == (3, 1, True)
    assert "Left out 1 of 3" in found.remarks[0]


def test_booleans_with_blanks_and_kinds_that_mix(write):
    assert labels_of(write("a.csv", "text,label\na,True\nb,\nc,False\n")) == ["True", "False"]
    mixed = read_rows(write("a.jsonl", "".join(json.dumps({"label": label}) + "\n" for label in (1, "1", True))))
    assert [row["label"] for row in mixed.rows] == ["1", "1", "True"]
    assert "of several kinds" in mixed.remarks[0]


def test_null_is_no_class(write):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": None}, {"text": "c"}]
    source = write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert labels_of(source) == ["x"]


def test_groups_are_read_like_labels(write):
    source = write("a.csv", "label,who,text\nyes,12,a\nno,,b\nno,13,c\n")
    found = read_rows(Source(source.path, columns={"group": "who"}))
    assert found.rows == [{"label": "yes", "group": "12"}, {"label": "no", "group": "13"}]
    assert found.num_unlabelled == 0 and "without group (1 null)" in found.remarks[0]
    source = write("b.csv", "label,who\nyes,\n,13\n")
    with pytest.raises(ValueError, match="both a label and a group"):
        read_rows(Source(source.path, columns={"group": "who"}))


def test_a_test_split_whose_labels_are_all_minus_one(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["n", "p"])})
    Dataset.from_dict({"text": ["a", "b"], "label": [-1, -1]}, features=features).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"None of the 2 examples .* has a label \(the cells hold: 2 -1\)"):
        read_rows(Source(str(tmp_path / "a.parquet")))


def test_several_labels_an_example(tmp_path, write):
    features = Features({"label": List(ClassLabel(names=["n", "p"]))})
    Dataset.from_dict({"label": [[0, 1], []]}, features=features).to_parquet(tmp_path / "a.parquet")
    for source in (Source(str(tmp_path / "a.parquet")), write("a.jsonl", '{"label": []}\n{"label": ["a"]}\n')):
        with pytest.raises(ValueError, match="multi-label"):
            read_rows(source)


def test_data_without_a_column_of_labels(write):
    source = write("a.csv", "text,kind\na,b\n")
    with pytest.raises(ValueError, match=r"has no labels: its columns are \['kind', 'text'\].*\(label_column\)"):
        open_labelled(source, ["text", "label"])
    assert labels_of(Source(source.path, columns={"label": "kind"})) == ["b"]
    with pytest.raises(ValueError, match="no column 'image'"):
        open_labelled(source, ["image"], "kind")
    with pytest.raises(ValueError, match=r"has no transcripts: .*\(text_column\)"):
        read_rows(Source(source.path, columns={"text": "words"}), target="text")
    with pytest.raises(ValueError, match="Cannot read the source"):
        open_labelled(Source("gone.csv"), ["label"])


@pytest.mark.parametrize(
    "folders", [("", ""), ("train/", "test/"), ("train/cat/", "test/"), ("train/cat/", "test/cat/")]
)
@pytest.mark.parametrize("by_builder", [True, False])
def test_folders_without_folders_of_classes(tmp_path, folders, by_builder):
    for i, pair in enumerate(tiny_pairs(4)):
        path = tmp_path / f"{folders[i % 2]}{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pair["image"]["bytes"])
    source = Source("imagefolder", data_dir=str(tmp_path)) if by_builder else Source(str(tmp_path))
    with pytest.raises(ValueError, match=r"has no labels.*a label is the name of the folder.*Or write.*metadata.csv"):
        read_rows(source, "image", labels_only=True)


def test_no_more_is_read_than_allowed(write):
    source = write("a.jsonl", '{"label": "x"}\n' * 5 + '{"label": "y"}\n')
    found = read_rows(source, num_examples=5)
    assert (found.num_read, found.is_whole, found.sizes) == (5, False, {"x": 5})
    assert read_rows(source, num_examples=6).is_whole


def test_samples_keep_rare_classes_and_are_else_as_they_were():
    rows = [{"label": str(i % 3), "n": i} for i in range(300)]
    before = sample_rows(rows, 60)
    assert len(before) == 60 and sample_rows(rows, 60, num_per_class=5) == before  # enough of each among them
    rows += [{"label": "rare", "n": i} for i in range(300, 304)]
    kept = sample_rows(rows, 60, num_per_class=5)
    assert len(kept) == 60 and [row["n"] for row in kept if row["label"] == "rare"] == [300, 301, 302, 303]
    assert sorted(sample_rows(rows, 20, num_per_class=50), key=lambda row: row["n"])[-4:] == rows[-4:]


def test_samples_keep_what_each_group_has():
    rows = [{"label": "a", "group": "x"}] * 100 + [{"label": "a", "group": "y"}, {"label": "b", "group": "y"}]
    kept = sample_rows(rows, 3, num_per_class=2)
    assert {(row["label"], row["group"]) for row in kept} == {("a", "x"), ("a", "y"), ("b", "y")}


def sampled_slowly(rows, num_rows, num_per_class):
    """With all rows at hand."""
    rng = np.random.default_rng(0)
    keys = [rng.random() for _ in rows]
    order, seen, ranks = sorted(range(len(rows)), key=keys.__getitem__), Counter(), {}
    for i in order:
        label, group = rows[i]["label"], rows[i].get("group")
        ranks[i] = 0 if group is not None and not seen[label, group] else min(seen[label,], num_per_class)
        seen.update([(label,), (label, group)])
    return [rows[i] for i in sorted(sorted(order, key=ranks.__getitem__)[:num_rows])]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), min_size=1, max_size=80), st.data())
def test_samples_as_rows_go_by_are_those_with_all_at_hand(pairs, data):
    has_groups = data.draw(st.booleans())
    rows = [
        {"label": label, "n": n, **({"group": group} if has_groups else {})} for n, (label, group) in enumerate(pairs)
    ]
    num_rows, num_per_class = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 9))
    assert sample_rows(rows, num_rows, num_per_class) == sampled_slowly(rows, num_rows, num_per_class)


def test_a_sample_holds_no_more_than_it_may_end_in():
    sample = RowSample(10, 2)
    for number in range(20_000):
        sample.add({"label": str(number % 5)})
        assert len(sample._held) <= 10 + 5 * 2
    assert len(sample.rows()) == 10 and sample.num_seen == 20_000


def test_what_is_said_is_said_once(caplog):
    warn_of(["one thing", "another thing", "one thing"])
    warn_of(["another thing"])
    assert caplog.messages == ["one thing", "another thing"]
