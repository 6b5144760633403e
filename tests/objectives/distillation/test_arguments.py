"""Settings of distillation: what is refused."""

import pytest

from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_characters": 0}, "max_characters must be at least 1"),
        ({"least_crop_area": 0.0}, "least_crop_area must be a share of the area, above 0, not 0.0"),
        ({"least_crop_area": 1.5}, "least_crop_area must be"),
        ({"feature_loss": "l1"}, "feature_loss must be one of cosine, mse, not 'l1'"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        DistillationTrainingArguments(str(tmp_path), **settings)
