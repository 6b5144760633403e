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
