"""Held-out examples are chosen by their content alone; hashes of contents and seeds stay."""

import pytest
from datasets import Dataset, concatenate_datasets

from hf_unlab.streams.content import content_hash, hash_fraction
from hf_unlab.streams.sharding import derive_seed
from hf_unlab.streams.sources import hold_out
from hf_unlab.testing import tiny_stream, tiny_texts


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


def test_a_content_hash_is_of_the_bytes_wherever_they_are(tmp_path):
    (tmp_path / "cell").write_bytes("é".encode())
    path = str(tmp_path / "cell")
    same = [
        "é",
        "é".encode(),
        {"bytes": "é".encode(), "path": "elsewhere"},
        {"bytes": None, "path": path},
        {"path": path},
    ]
    assert {content_hash(value) for value in same} == {0xCB1ABF8BEFF3192F}
    assert content_hash("é") != content_hash("e\u0301")
    assert content_hash("\ud800") != content_hash("\ud801")
    assert content_hash("") == content_hash({"bytes": b"", "path": None})


@pytest.mark.parametrize("value", [None, 3, ["a"], {"bytes": None, "path": None}, {}])
def test_what_has_no_bytes_cannot_be_hashed(value):
    with pytest.raises(ValueError, match="Cannot hash a"):
        content_hash(value)


def test_derived_seeds_differ_and_stay():
    seeds = {derive_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900 and all(0 <= seed < 2**32 for seed in seeds)
    assert derive_seed(1, 2) == derive_seed(1, 2)
