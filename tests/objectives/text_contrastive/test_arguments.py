"""Settings of contrastive pretraining on texts that cannot work are refused by name."""

import pytest

from hf_unlab.objectives.text_contrastive.arguments import TextContrastiveTrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"views": ["halves", "thirds"]}, "views must be some of halves, words, crops, same, not thirds"),
        ({"views": []}, "views must be some of .*, not none"),
        ({"max_view_tokens": 0}, "max_view_tokens must be at least 1, not 0"),
        ({"max_passes": 0}, "max_passes must be above 0, not 0; leave it out"),
        ({"temperature": 0}, r"temperature must be above 0, not 0; 0\.05 to 0\.3 is usual"),
        ({"matryoshka_dims": [8, 0]}, "matryoshka_dims must be numbers of features"),
        ({"masked_lm_weight": -0.5}, r"masked_lm_weight must be a number from 0, .*, not -0\.5; 0\.1 to 1 is usual"),
        ({"masked_lm_weight": float("nan")}, "masked_lm_weight must be a number from 0, .*, not nan"),
        ({"mask_probability": 1.0}, r"between 0 and 1, not 1\.0"),
        ({"loss_chunk_size": 0}, "loss_chunk_size must be at least 1, not 0"),
        ({"collapse_max_cosine": 1.5}, r"collapse_max_cosine must lie between 0 and 1, not 1\.5"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        TextContrastiveTrainingArguments(str(tmp_path), **settings)


def test_the_defaults_are_those_of_a_static_table(tmp_path):
    args = TextContrastiveTrainingArguments(str(tmp_path))
    assert (args.learning_rate, args.per_device_train_batch_size, args.weight_decay) == (5e-3, 256, 0)
    assert args.lr_scheduler_type == "constant" and args.get_warmup_steps(1000) == 0


def test_a_share_to_mask_without_a_weight_is_warned_of(tmp_path, caplog):
    TextContrastiveTrainingArguments(str(tmp_path), masked_lm_weight=0.5, mask_probability=0.3)
    assert caplog.messages == []
    TextContrastiveTrainingArguments(str(tmp_path), mask_probability=0.3)
    assert caplog.messages == ["mask_probability=0.3 is ignored: masked_lm_weight is 0."]
