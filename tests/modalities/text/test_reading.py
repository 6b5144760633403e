"""Packing keeps every token in its order and knows its document; tokenising keeps every document whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.modalities.text.reading import pack_documents, pack_texts, tokenise_texts
from hf_unlab.testing import tiny_texts, tiny_tokenizer


def documents_of(sizes):
    """Documents of these sizes in which no token occurs twice: 0, 1, 2, ... all through."""
    tokens = iter(range(sum(sizes)))
    return [list(itertools.islice(tokens, size)) for size in sizes]


def packed_rows(documents, length, seed=None):
    rows = pack_documents(documents, length, seed)
    return [{column: values.tolist() for column, values in row.items()} for row in rows]


@settings(max_examples=150)
@given(sizes=st.lists(st.integers(0, 12), max_size=14), length=st.integers(1, 9))
def test_packing_keeps_every_token_in_order_unless_it_is_too_little(sizes, length):
    documents = documents_of(sizes)
    tokens = list(itertools.chain(*documents))
    rows = packed_rows(documents, length)

    assert all(len(row["input_ids"]) == len(row["document_ids"]) == length for row in rows)
    seen = list(itertools.chain(*(row["input_ids"] for row in rows)))
    assert list(dict.fromkeys(seen)) == (tokens if len(tokens) >= length else [])  # the first sight of each token
    assert len(rows) == (-(-len(tokens) // length) if len(tokens) >= length else 0)  # none is repeated without need

    owner = {token: number for number, ids in enumerate(documents) for token in ids}
    for row in rows:
        ids = row["input_ids"]
        assert ids == list(range(ids[0], ids[0] + length))
        numbers = {}
        assert row["document_ids"] == [numbers.setdefault(owner[token], len(numbers)) for token in ids]


def test_a_seed_decides_the_order_of_the_sequences_and_nothing_else():
    documents = documents_of([5] * 20)
    plain, first, second = (packed_rows(documents, 4, seed) for seed in (None, (0, 0), (0, 20)))
    assert first != second and first == packed_rows(documents, 4, (0, 0))
    assert plain == sorted(first, key=lambda row: row["input_ids"]) == sorted(second, key=lambda row: row["input_ids"])


def test_a_document_far_longer_than_a_sequence_is_cut_into_all_its_parts():
    rows = packed_rows(documents_of([2, 200_001, 3]), length=512)
    assert {token for row in rows for token in row["input_ids"]} == set(range(200_006))
    assert all(set(row["document_ids"]) == {0} for row in rows[1:-1])


def test_packed_sequences_are_int64_and_hold_nothing_else():
    (row,) = pack_documents([[1, 2]], length=2)
    assert row.keys() == {"input_ids", "document_ids"}
    assert all(isinstance(values, np.ndarray) and values.dtype == np.int64 for values in row.values())


def test_packing_to_no_length_is_refused():
    with pytest.raises(ValueError, match="at least 1 token long, not 0"):
        pack_documents([[1]], length=0)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_each_document_is_framed_and_can_be_read_back(tokenizer):
    texts = [*tiny_texts(5), "Ünïcödé 你好 🙂"]
    documents = tokenise_texts(texts, tokenizer)
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in documents] == texts
    for ids in documents:
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert not set(ids[1:-1]) & set(tokenizer.all_special_ids)


def test_none_and_blank_texts_yield_nothing(tokenizer):
    documents = tokenise_texts([None, "", "one", " \n\t", None, None, "two", "\u3000"], tokenizer)
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in documents] == ["one", "two"]


def test_blank_texts_alone_pack_to_nothing(tokenizer):
    assert pack_texts([{"text": None}, {"text": ""}], 0, tokenizer=tokenizer, length=4, seed=0) == []
    assert pack_texts([], 0, tokenizer=tokenizer, length=4, seed=0) == []


@pytest.mark.parametrize("value, kind", [(3, "int"), (["a"], "list"), (b"abc", "bytes"), ({"text": "a"}, "dict")])
def test_a_column_that_is_no_text_is_an_error_that_names_it(tokenizer, value, kind):
    with pytest.raises(ValueError, match=f"column 'body' must hold text, but holds {kind}: "):
        tokenise_texts(["fine", value], tokenizer, column="body")


def test_long_documents_are_neither_truncated_nor_padded_nor_warned_about(tokenizer, caplog):
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, mask_token="[MASK]", model_max_length=8)
    tokenizer.backend_tokenizer.enable_truncation(6)  # as in the files of sentence encoders
    tokenizer.backend_tokenizer.enable_padding(length=6)
    text = "word " * 500
    short, long = tokenise_texts(["a", text], tokenizer)
    assert len(short) == 3
    assert tokenizer.decode(long[1:-1]) == text
    assert not caplog.records


def test_texts_are_packed_with_another_order_for_each_block_and_other_columns_are_dropped(tokenizer):
    block = [{"id": i, "text": text} for i, text in enumerate(tiny_texts(30))]
    rows = [pack_texts(block, first, tokenizer=tokenizer, length=16, seed=3) for first in (0, 0, 30)]
    once, again, later = ([row["input_ids"].tolist() for row in one] for one in rows)
    assert once == again != later and sorted(once) == sorted(later)
    assert rows[0][0].keys() == {"input_ids", "document_ids"}


def test_lone_surrogates_do_not_stop_a_run(tokenizer):
    first, second = tokenise_texts(["bad \ud800 text", "fine"], tokenizer)
    assert tokenizer.decode(first, skip_special_tokens=True) == "bad ? text"
    assert tokenizer.decode(second, skip_special_tokens=True) == "fine"
