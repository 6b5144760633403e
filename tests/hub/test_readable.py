"""Every string of a textual file is read, with its place."""

import json

import pytest

from hf_unlab.hub.readable import SEPARATOR, Document, Piece, decoded, strings_of, text_documents


def pieces(name, text):
    return [piece for document in text_documents(name, text) for piece in document.pieces]


@pytest.mark.parametrize(
    "name, text, piece",
    [
        ("a.json", '{"a": 1, "a": [["x"]]}', Piece("a", "a", "x")),
        ("a.json", '"x"', Piece("its only string", "", "x")),
        ("a", '{"a": "x"}', Piece("a", "a", "x")),
        ("a.jsonl", '{"a": 1}\n\n{"b": "x"}', Piece("line 3", "b", "x")),
        ("a.yaml", "a: 1\n---\nb: ['x']", Piece("b", "b", "x")),
        ("README.md", "---\na: {b: x}\n---\ntext", Piece("a.b", "b", "x")),
        ("a.csv", 'a,b\n1,"x\ny"', Piece("line 3", "b", "x\ny")),
        ("a.tsv", "a\tb\n1\tx", Piece("line 2", "b", "x")),
        ("a.html", "&#120;", Piece("", "", "x")),
        ("vocab.txt", "a\nx", Piece("line 2", "", "x")),
        ("tokenizer.json", '{"model": {"a": 1}, "decoder": {"b": "x"}}', Piece("decoder.b", "b", "x")),
        ("vocab.json", '{"\\u0078": 1}', Piece("its keys", "", "x")),
    ],
)
def test_strings_and_their_places(name, text, piece):
    assert piece in pieces(name, text)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.yaml", "README.md", "a.csv", "tokenizer.json"])
@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "---\n!x {\n---\n", '"', "a: &a [*a]\n", "a,b\n1,2,3\n\0"])
def test_what_cannot_be_parsed_is_read_as_text(name, text):
    documents = list(text_documents(name, text))
    assert any(text in document.text for document in documents) or name == "a.json"


@pytest.mark.parametrize(
    "name, kind",
    [
        ("vocab.txt", "vocabulary"),
        ("a/merges.txt", "vocabulary"),
        ("tokenizer.json", "vocabulary"),
        ("added_tokens.json", "vocabulary"),
        ("source-vocab.json", "vocabulary"),
        ("tokenizer_config.json", "text"),
        ("special_tokens_map.json", "text"),
        ("README.md", "text"),
    ],
)
def test_vocabularies_by_their_names(name, kind):
    assert next(text_documents(name, "a")).kind == kind


def test_what_holds_itself_ends():
    value = {"a": "x"}
    value["b"] = [value]
    assert [piece.text for piece in strings_of(value)] == ["a", "b", "x"]


def test_places_of_a_document():
    document = Document([Piece("a", "", "one"), Piece("", "", ""), Piece("", "", "two\nthree")])
    assert document.text == f"one{SEPARATOR}{SEPARATOR}two\nthree"
    assert [document.where(offset) for offset in (0, 5, 9)] == ["a", "line 1", "line 2"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_decoding(encoding):
    assert decoded("naïve".encode(encoding)) == "naïve"
    assert decoded(json.dumps("ï").encode("latin-1") + b"\xef") is None
