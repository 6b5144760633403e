"""Settings of image-text pretraining that cannot work are refused by name."""

import pytest

from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"loss": "triplet"}, "loss must be one of info_nce, sigmoid, not 'triplet'"),
        ({"crop_scale": [0.5]}, "crop_scale must be two"),
        ({"crop_scale": [2.0, 3.0]}, "crop_scale must be two"),
        ({"crop_scale": [0.9, 0.5]}, "crop_scale must be two"),
        ({"flip_probability": 3}, "flip_probability must lie between 0 and 1, not 3"),
        ({"loss_chunk_size": 0}, "loss_chunk_size must be at least 1"),
        ({"max_logit_scale": 0}, "max_logit_scale must be above 0"),
        ({"zero_shot_templates": ["a {}", "a photo"]}, "'a photo' of zero_shot_templates"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        ImageTextContrastiveTrainingArguments(str(tmp_path), **settings)


def test_the_better_of_recalls_is_the_greater_and_of_losses_the_lower(tmp_path):
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 500, "save_steps": 500}
    recall = ImageTextContrastiveTrainingArguments(str(tmp_path), **best)
    assert recall.metric_for_best_model == "mean_recall" and recall.greater_is_better is True
    loss = ImageTextContrastiveTrainingArguments(str(tmp_path), metric_for_best_model="eval_loss", **best)
    assert loss.greater_is_better is False
