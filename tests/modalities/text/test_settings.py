"""Columns of texts by other names."""

import pytest

from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings, TextPairDataSettings


def test_columns_of_other_names_are_renamed() -> None:
    assert TextDataSettings(dataset="texts").sources()[0].columns == {}
    settings = TextDataSettings(dataset="texts", text_column="body", eval_split="dev")
    assert settings.sources()[0].columns == settings.eval_sources()[0].columns == {"text": "body"}
    for source in TextFewLabelSettings(labelled_dataset="x", labelled_text_column="t").labelled_sources([]):
        assert source.columns == {"text": "t", "label": "label"}


def test_pairs_are_columns_of_their_own() -> None:
    assert TextPairDataSettings(dataset="x", text_column="body").sources()[0].columns == {"text": "body"}
    pair = TextPairDataSettings(dataset="x", anchor_column="question", positive_column="answer")
    assert pair.columns == ("anchor", "positive")
    assert pair.sources()[0].columns == {"anchor": "question", "positive": "answer"}
    triplet = TextPairDataSettings(
        dataset="x", anchor_column="anchor", positive_column="positive", negative_column="wrong"
    )
    assert triplet.columns == ("anchor", "positive", "negative")
    assert triplet.sources()[0].columns == {"negative": "wrong"}
    assert [one.columns["text"] for one in triplet.as_texts(triplet.sources())] == ["anchor", "positive", "wrong"]
    plain = TextPairDataSettings(dataset="x")
    assert plain.as_texts(plain.sources()) == plain.sources()


@pytest.mark.parametrize(
    "given, message",
    [
        ({"anchor_column": "a"}, "need both anchor_column and positive_column"),
        ({"positive_column": "b"}, "need both anchor_column and positive_column"),
        ({"negative_column": "c"}, "goes with anchor_column"),
    ],
)
def test_half_a_pair_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextPairDataSettings(dataset="x", **given)
