"""Columns of images by other names."""

from hf_unlab.modalities.image.settings import ImageDataSettings, ImageFewLabelSettings


def test_columns_of_other_names_are_renamed() -> None:
    assert ImageDataSettings(dataset="photos", image_column="jpg").sources()[0].columns == {"image": "jpg"}
    settings = ImageFewLabelSettings(labelled_dataset="photos", labelled_image_column="png", label_column="kind")
    assert [source.columns for source in settings.labelled_sources([])] == [{"image": "png", "label": "kind"}] * 2
    assert settings.finetune_learning_rate > ImageFewLabelSettings.__mro__[1]().finetune_learning_rate
