"""Columns of pairs by other names."""

from hf_unlab.modalities.image_text.settings import DualEncoderSettings, ImageTextDataSettings


def test_columns_of_other_names_are_renamed() -> None:
    assert ImageTextDataSettings(dataset="pairs", image_column="jpg").sources()[0].columns == {"image": "jpg"}
    both = ImageTextDataSettings(dataset="pairs", image_column="jpg", text_column="caption")
    assert both.sources()[0].columns == {"image": "jpg", "text": "caption"}


def test_the_default_model_needs_nothing() -> None:
    assert DualEncoderSettings().model == "tiny"
