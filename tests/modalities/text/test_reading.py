"""Packing keeps every token in its order and knows its document; tokenising keeps every document whole."""

import itertools

import numpy as np
import pytest
from datasets import Dataset, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.modalities.text.reading import pack_sequences, tokenise_stream
from hf_unlab.streams.sources import iterate
from hf_unlab.testing import tiny_stream, tiny_texts, tiny_tokenizer


def rows_of(shards):
    for shard in shards:
        yield from shard


def stream_of(rows, num_shards=1):
    """A stream of Python objects as they are, shard after shard."""
    size = -(-len(rows) // num_shards)
    shards = [rows[i * size : (i + 1) * size] for i in range(num_shards)]
    return IterableDataset.from_generator(rows_of, gen_kwargs={"shards": shards})


def documents_of(sizes):
    """Documents of these sizes in which no token occurs twice: 0, 1, 2, ... all through."""
    tokens = iter(range(sum(sizes)))
    return [list(itertools.islice(tokens, size)) for size in sizes]


def packed_rows(documents, length, batch_size, num_shards=1):
    stream = pack_sequences(
        stream_of([{"input_ids": ids} for ids in documents], num_shards), length, batch_size=batch_size
    )
    return [{column: values.tolist() for column, values in row.items()} for row in iterate(stream)]


@settings(max_examples=150)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=14),
    length=st.integers(1, 9),
    batch_size=st.integers(1, 15),
    num_shards=st.integers(1, 3),
)
def test_packing_keeps_every_token_in_order_but_those_of_a_short_block(sizes, length, batch_size, num_shards):
    documents = documents_of(sizes)
    blocks = [list(itertools.chain(*documents[i : i + batch_size])) for i in range(0, len(documents), batch_size)]
    kept = [block for block in blocks if len(block) >= length]
    rows = packed_rows(documents, length, batch_size, num_shards)

    assert all(len(row["input_ids"]) == len(row["document_ids"]) == length for row in rows)
    seen = list(itertools.chain(*(row["input_ids"] for row in rows)))
    assert list(dict.fromkeys(seen)) == list(itertools.chain(*kept))  # the first sight of each token
    assert len(rows) == sum(-(-len(block) // length) for block in kept)  # so no block repeats more than it must

    owner = {token: number for number, ids in enumerate(documents) for token in ids}
    for row in rows:
        ids = row["input_ids"]
        assert ids == list(range(ids[0], ids[0] + length))
        numbers = {}
        assert row["document_ids"] == [numbers.setdefault(owner[token], len(numbers)) for token in ids]


@pytest.mark.parametrize(
    "sizes, length, batch_size", [([3, 5, 2, 8, 1, 1, 4, 6, 2], 4, 2), ([40], 3, 10), ([1] * 30, 4, 7)]
)
def test_packing_resumes_exactly_behind_every_sequence(sizes, length, batch_size):
    def stream():
        rows = [{"input_ids": ids} for ids in documents_of(sizes)]
        return pack_sequences(stream_of(rows, num_shards=2), length, batch_size=batch_size)

    whole, states = stream(), []
    states.append(whole.state_dict())
    rows = []
    for row in iterate(whole):
        rows.append(row["input_ids"].tolist())
        states.append(whole.state_dict())
    assert len(rows) > 5
    for place, state in enumerate(states):
        resumed = stream()
        resumed.load_state_dict(state)
        assert [row["input_ids"].tolist() for row in iterate(resumed)] == rows[place:]


def test_a_document_far_longer_than_a_sequence_is_cut_into_all_its_parts():
    rows = packed_rows(documents_of([2, 200_001, 3]), length=512, batch_size=1000)
    assert {token for row in rows for token in row["input_ids"]} == set(range(200_006))
    assert all(set(row["document_ids"]) == {0} for row in rows[1:-1])


def test_packed_sequences_are_int64_and_hold_nothing_else():
    (row,) = pack_sequences(stream_of([{"input_ids": [1, 2], "label": 3}]), length=2)
    assert row.keys() == {"input_ids", "document_ids"}
    assert all(isinstance(values, np.ndarray) and values.dtype == np.int64 for values in row.values())


def test_packing_to_no_length_is_refused():
    with pytest.raises(ValueError, match="at least 1 token long, not 0"):
        pack_sequences(stream_of([{"input_ids": [1]}]), length=0)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def token_ids(rows, tokenizer, **options):
    return [row["input_ids"] for row in tokenise_stream(stream_of(rows), tokenizer, **options)]


def test_each_document_is_framed_and_can_be_read_back(tokenizer):
    texts = [*tiny_texts(5), "Ünïcödé 你好 🙂"]
    rows = [{"text": text} for text in texts]
    documents = token_ids(rows, tokenizer, batch_size=2)
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in documents] == texts
    for ids in documents:
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert not set(ids[1:-1]) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_none_and_blank_texts_yield_nothing(tokenizer, batch_size):
    rows = [{"text": text} for text in [None, "", "one", " \n\t", None, None, "two", "\u3000"]]
    documents = token_ids(rows, tokenizer, batch_size=batch_size)
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in documents] == ["one", "two"]


def test_blank_texts_alone_pack_to_nothing(tokenizer):
    stream = tokenise_stream(stream_of([{"text": None}, {"text": ""}]), tokenizer)
    assert list(pack_sequences(stream, length=4)) == []


@pytest.mark.parametrize("value, kind", [(3, "int"), (["a"], "list"), (b"abc", "bytes"), ({"text": "a"}, "dict")])
def test_a_column_that_is_no_text_is_an_error_that_names_it(tokenizer, value, kind):
    with pytest.raises(ValueError, match=f"column 'body' must hold text, but holds {kind}: "):
        token_ids([{"body": "fine"}, {"body": value}], tokenizer, column="body")


def test_long_documents_are_neither_truncated_nor_padded_nor_warned_about(tokenizer, caplog):
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, mask_token="[MASK]", model_max_length=8)
    tokenizer.backend_tokenizer.enable_truncation(6)  # as in the files of sentence encoders
    tokenizer.backend_tokenizer.enable_padding(length=6)
    text = "word " * 500
    short, long = token_ids([{"text": "a"}, {"text": text}], tokenizer)
    assert len(short) == 3
    assert tokenizer.decode(long[1:-1]) == text
    assert not caplog.records


def test_other_columns_are_dropped(tokenizer):
    stream = Dataset.from_dict({"id": [1], "input_ids": [[9]], "text": ["a"]}).to_iterable_dataset()
    (row,) = tokenise_stream(stream, tokenizer)
    assert row == {"input_ids": tokenizer("a")["input_ids"]}


def test_lone_surrogates_do_not_stop_a_run(tokenizer):
    first, second = token_ids([{"text": "bad \ud800 text"}, {"text": "fine"}], tokenizer)
    assert tokenizer.decode(first, skip_special_tokens=True) == "bad ? text"
    assert tokenizer.decode(second, skip_special_tokens=True) == "fine"


def test_tokenising_resumes_exactly(tokenizer):
    def stream():
        return pack_sequences(
            tokenise_stream(tiny_stream(tiny_texts(30), 3), tokenizer, batch_size=4), 16, batch_size=5
        )

    rows = [row["input_ids"].tolist() for row in stream()]
    half = stream()
    for _ in itertools.islice(half, len(rows) // 2):
        pass
    resumed = stream()
    resumed.load_state_dict(half.state_dict())
    assert [row["input_ids"].tolist() for row in resumed] == rows[len(rows) // 2 :]
