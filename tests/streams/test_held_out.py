"""Held-out examples are chosen by their content alone, and written once."""

from pathlib import Path

import pytest
from datasets import Dataset, concatenate_datasets

from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.content import hash_fraction
from hf_unlab.streams.held_out import good_stream, hold_out, keep_held_out, split
from hf_unlab.streams.sources import WeightedStream, open_streams
from hf_unlab.testing import tiny_stream, tiny_texts

DATA = Dataset.from_dict({"text": ["a", "b", "c"]})


def texts_of(stream):
    return [row["text"] for row in stream]


def halves(stream, fraction=0.2):
    return tuple(texts_of(half) for half in hold_out(stream, column="text", fraction=fraction))


@pytest.mark.parametrize("kind", ["stream", "map-style"])
def test_holding_out_parts_the_examples_and_keeps_their_order(kind):
    texts = tiny_texts(500)
    data = Dataset.from_dict({"text": texts})
    train, held_out = halves(data if kind == "map-style" else data.to_iterable_dataset(num_shards=3))
    assert sorted(train + held_out) == sorted(texts)
    assert train == [text for text in texts if text in set(train)]
    assert 60 < len(held_out) < 140


def test_the_held_out_examples_are_the_same_in_any_order_and_sharding():
    texts = tiny_texts(200)
    expected = set(halves(tiny_stream(texts))[1])
    assert expected
    assert set(halves(tiny_stream(texts[::-1], num_shards=7))[1]) == expected
    assert set(halves(tiny_stream(texts[::2]))[1]) == expected & set(texts[::2])
    shards = [tiny_stream(texts, num_shards=4).shard(2, i) for i in range(2)]
    assert {text for shard in shards for text in halves(shard)[1]} == expected


def test_duplicates_never_stand_on_both_sides():
    train, held_out = halves(tiny_stream(tiny_texts(100) * 3, num_shards=2))
    assert not set(train) & set(held_out)
    assert len(train) == 3 * len(set(train)) and len(held_out) == 3 * len(set(held_out))


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_the_held_out_share_is_about_right(fraction):
    texts = [f"text {i}" for i in range(20_000)]
    share = sum(hash_fraction(text) < fraction for text in texts) / len(texts)
    assert abs(share - fraction) < 5 * (fraction * (1 - fraction) / len(texts)) ** 0.5


def test_a_larger_fraction_holds_out_the_same_examples_and_more():
    stream = tiny_stream(tiny_texts(300))
    assert set(halves(stream, 0.1)[1]) < set(halves(stream, 0.3)[1])


def test_what_has_no_content_stays_in_training_where_it_is_counted():
    data = Dataset.from_dict({"text": ["a", None, "b", None]})
    for given in (data, data.to_iterable_dataset()):
        train, held_out = halves(given, 0.5)
        assert train.count(None) == 2 and None not in held_out
        assert sorted(text for text in train + held_out if text) == ["a", "b"]


def test_holding_out_leaves_the_other_columns_and_the_data_alone():
    data = concatenate_datasets([Dataset.from_dict({"text": tiny_texts(50), "n": list(range(50))})])
    train, held_out = hold_out(data, column="text", fraction=0.3)
    assert sorted([*train["n"], *held_out["n"]]) == list(range(50)) and len(data) == 50


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 5, float("nan")])
def test_a_held_out_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        hold_out(tiny_stream(["a"]), column="text", fraction=fraction)


def test_holding_out_by_a_column_that_is_not_there_names_those_that_are():
    with pytest.raises(ValueError, match=r"column 'body': the columns are \['text'\]"):
        list(hold_out(tiny_stream(["a"]), column="body", fraction=0.5)[0])


def weighted(texts, weight=1.0, name="data"):
    return WeightedStream(tiny_stream(texts), weight, name)


def test_each_source_is_split_by_the_column_asked_for(tmp_path):
    rows = [{"text": text, "title": text[::-1]} for text in tiny_texts(200)]
    sources = open_streams([Dataset.from_list(rows), Dataset.from_list(rows[:50])], ["text", "title"])
    for column, given in (("text", None), ("title", "title")):
        training, held_out = split(sources, None, ["text", "title"], given, 0.2)
        for source, train, held in zip(sources, training, held_out, strict=True):
            expected = hold_out(source.stream, column=column, fraction=0.2)
            assert train.stream.to_list() == expected[0].to_list() and held.stream is source.stream
            keep_held_out([held], tmp_path / f"{column}-{held.name}.parquet", 1000)
            assert kept(tmp_path / f"{column}-{held.name}.parquet") == expected[1].to_list()
            assert (train.name, train.weight) == (held.name, held.weight) == (source.name, source.weight)
    with pytest.raises(ValueError, match="validation_column must be text or title, not 'body'"):
        split(sources, None, ["text", "title"], "body", 0.2)


def test_data_given_for_evaluation_leaves_the_training_data_whole():
    sources = (weighted(["a", "b"]),)
    training, held_out = split(sources, Dataset.from_dict({"text": ["c"], "n": [1]}), ["text"], None, 0.5)
    assert training is sources
    assert [source.stream.to_list() for source in held_out] == [[{"text": "c"}]]


def kept(path):
    return Dataset.from_parquet(str(path), keep_in_memory=True).to_list()


def test_the_first_of_each_source_are_written_by_weight_and_once(tmp_path):
    path = tmp_path / "run" / "held_out.parquet"
    sources = (weighted(list("abcdefgh"), 3.0), weighted(list("xyz"), 1.0))
    keep_held_out(sources, path, 8)
    assert "".join(row["text"] for row in kept(path)) == "abcdefxy"
    assert [file.name for file in path.parent.iterdir()] == ["held_out.parquet"]
    before = path.stat().st_mtime_ns
    renamed = (weighted(list("abcdefgh"), 2.0, name="moved"), weighted(list("xyz"), 1.0))
    keep_held_out(renamed, path, 8)  # neither a name nor a weight makes other data
    assert path.stat().st_mtime_ns == before


OTHERWISE = {
    "size": ([Dataset.from_dict({"text": ["a", "b", "c", "d"]})], 0.5, "text", 8),
    "first example": ([Dataset.from_dict({"text": ["x", "b", "c"]})], 0.5, "text", 8),
    "fraction": ([DATA], 0.6, "text", 8),
    "column": ([DATA.add_column("title", ["a", "b", "c"])], 0.5, "title", 8),
    "validation_num_examples": ([DATA], 0.5, "text", 9),
    "size of source 2": ([DATA, DATA], 0.5, "text", 8),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_file_of_other_data_is_refused_with_what_differs_or_written_anew(tmp_path, what, caplog):
    path, (data, fraction, column, number) = tmp_path / "a.parquet", OTHERWISE[what]

    def held_out(data, column, fraction):
        sources = open_streams(data, sorted({"text", column}))
        return split(sources, None, sorted({"text", column}), column, fraction)[1]

    keep_held_out(held_out([DATA], "text", 0.5), path, 8)
    before = path.read_bytes()
    keep_held_out(held_out([DATA], "text", 0.5), path, 8, may_replace=False)
    with pytest.raises(
        ValueError, match=f"held out otherwise: .*{what}.* \\(now .*delete the file to hold out anew"
    ) as error:
        keep_held_out(held_out(data, column, fraction), path, number, may_replace=False)
    assert str(path) in str(error.value) and path.read_bytes() == before and not caplog.records
    keep_held_out(held_out(data, column, fraction), path, number)
    assert path.read_bytes() != before and "was of other data, and is written anew" in caplog.text


def test_a_file_that_is_cut_short_says_what_to_do(tmp_path):
    keep_held_out((weighted(["a"]),), tmp_path / "a.parquet", 8)
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"Cannot read the held-out examples in .*a\.parquet: .* Delete it"):
        keep_held_out((weighted(["a"]),), tmp_path / "a.parquet", 8)


def test_a_file_that_does_not_say_of_which_data_it_is_is_kept_by_a_run_that_goes_on(tmp_path, caplog):
    Dataset.from_dict({"text": ["old"]}).to_parquet(tmp_path / "a.parquet")
    keep_held_out((weighted(["a"]),), tmp_path / "a.parquet", 8, may_replace=False)
    assert kept(tmp_path / "a.parquet") == [{"text": "old"}] and "an earlier version wrote it" in caplog.text
    keep_held_out((weighted(["a"]),), tmp_path / "a.parquet", 8)
    assert kept(tmp_path / "a.parquet") == [{"text": "a"}]


def test_files_given_by_their_paths_are_held_out_by_their_content(tmp_path):
    """Copies of one file stand on one side; what is gone or empty stays in training, where it is counted."""
    paths = []
    for number in range(90):
        paths.append(str(tmp_path / f"{number}.bin"))
        (tmp_path / f"{number}.bin").write_bytes(bytes([number % 30]) * 10)  # three copies of each
    (tmp_path / "empty.bin").touch()
    broken = [str(tmp_path / "gone.bin"), str(tmp_path / "empty.bin"), str(tmp_path), "", None]
    data = Dataset.from_dict({"file": [*paths, *broken]})
    for given in (data, data.to_iterable_dataset(num_shards=4)):
        halves = [[row["file"] for row in half] for half in hold_out(given, column="file", fraction=0.3, is_file=True)]
        contents = [{Path(path).read_bytes() for path in half if path in paths} for half in halves]
        assert contents[0].isdisjoint(contents[1]) and len(contents[0]) + len(contents[1]) == 30
        assert (
            contents[1] == {content for content in contents[0] | contents[1] if hash_fraction(content) < 0.3} != set()
        )
        assert halves[0][-5:] == broken
    (training,), held_out = split(open_streams(data, ["file"]), None, ["file"], None, 0.3, file_columns=["file"])
    assert training.stream["file"] == halves[0]
    keep_held_out(held_out, tmp_path / "a.parquet", 1000, file_columns=["file"])
    written = kept(tmp_path / "a.parquet")
    assert [row["file"]["path"] for row in written] == halves[1]
    assert {row["file"]["bytes"] for row in written} == contents[1]  # which outlast the files


def test_a_source_of_little_weight_still_has_one_and_a_short_one_all_it_has(tmp_path):
    keep_held_out((weighted(list("abcdef"), 1000.0), weighted(list("xyz"), 0.001)), tmp_path / "a.parquet", 4)
    assert "".join(row["text"] for row in kept(tmp_path / "a.parquet")) == "abcdx"
    keep_held_out((weighted(["a"]),), tmp_path / "b.parquet", 1000)
    assert len(kept(tmp_path / "b.parquet")) == 1


def empty(example):
    return None if example["text"] else "empty"


def refuse_b(example):
    if example["text"] == "b":
        raise BadExample("a b")
    return {"text": 7}  # what is decoded is not what is written


def test_bad_examples_are_not_written(tmp_path):
    keep_held_out((weighted(["", "a", "b", "c"]),), tmp_path / "a.parquet", 2, empty, refuse_b)
    assert kept(tmp_path / "a.parquet") == [{"text": "a"}, {"text": "c"}]
    assert [row["text"] for row in good_stream(tiny_stream(["", "a"]), empty)] == ["a"]


def test_what_is_written_outlasts_the_files_it_came_from_and_mixes_one_and_several(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    cell = {"bytes": None, "path": str(tmp_path / "a.bin")}
    one = Dataset.from_dict({"cell": [cell], "text": ["one"]})
    several = Dataset.from_dict({"cell": [{"bytes": b"x", "path": None}], "text": [["two", "three"]]})
    keep_held_out([WeightedStream(one), WeightedStream(several)], tmp_path / "a.parquet", 2)
    (tmp_path / "a.bin").unlink()
    assert [(row["cell"]["bytes"], row["text"]) for row in kept(tmp_path / "a.parquet")] == [
        (b"abc", ["one"]),
        (b"x", ["two", "three"]),
    ]


def test_nothing_held_out_says_what_to_raise(tmp_path):
    with pytest.raises(ValueError, match="Raise validation_fraction"):
        keep_held_out((weighted([""]),), tmp_path / "a.parquet", 4, empty)
    assert not list(tmp_path.iterdir())
