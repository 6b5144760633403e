"""Settings of wav2vec 2.0 that cannot work are refused by name."""

import pytest

from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"min_seconds": -1.0}, "0 <= min_seconds < max_seconds <= max_batch_seconds, not -1.0"),
        ({"min_seconds": 20.0}, "0 <= min_seconds < max_seconds"),
        ({"max_seconds": 100.0}, "max_seconds <= max_batch_seconds, not 0.0, 100.0 and 87.5"),
        ({"mask_probability": 0.0}, "probability"),
        ({"mask_length": 0}, "at least two frames"),
        ({"collapse_min_perplexity": 1.5}, "collapse_min_perplexity must lie between 0 and 1, not 1.5"),
        ({"collapse_max_accuracy": -0.1}, "collapse_max_accuracy must lie"),
        ({"diversity_weight": -1.0}, "diversity_weight must be at least 0"),
        ({"feature_penalty_weight": -1.0}, "feature_penalty_weight must be at least 0"),
        ({"feature_grad_scale": -1.0}, "feature_grad_scale must be at least 0"),
        ({"bucket_num_batches": 0}, "bucket_num_batches must be at least 1"),
        ({"num_negatives": 0}, "num_negatives must be at least 1"),
        ({"gumbel_temperature_end": 3.0}, "must fall to an end above 0, not from 2.0 to 3.0"),
        ({"gumbel_temperature_end": 0.0}, "must fall to an end above 0"),
        ({"gumbel_temperature_decay": 1.1}, "must fall to an end above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Wav2Vec2TrainingArguments(str(tmp_path), **settings)


def test_the_temperature_falls_by_its_factor_to_its_end(tmp_path):
    settings = {"gumbel_temperature_start": 1.0, "gumbel_temperature_end": 0.25, "gumbel_temperature_decay": 0.5}
    args = Wav2Vec2TrainingArguments(str(tmp_path), **settings)
    assert [args.gumbel_temperature(step) for step in range(5)] == [1.0, 0.5, 0.25, 0.25, 0.25]


def test_what_is_fixed_for_a_run(tmp_path):
    fixed = Wav2Vec2TrainingArguments(str(tmp_path)).fixed()
    assert fixed["shuffle_block_size"] == 1000 and {"max_seconds", "mask_length", "seed"} <= fixed.keys()
