"""Columns of texts by other names."""

from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings


def test_columns_of_other_names_are_renamed() -> None:
    assert TextDataSettings(dataset="texts").sources()[0].columns == {}
    settings = TextDataSettings(dataset="texts", text_column="body", eval_split="dev")
    assert settings.sources()[0].columns == settings.eval_sources()[0].columns == {"text": "body"}
    for source in TextFewLabelSettings(labelled_dataset="x", labelled_text_column="t").labelled_sources([]):
        assert source.columns == {"text": "t", "label": "label"}
