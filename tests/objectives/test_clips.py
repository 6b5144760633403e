"""What objectives on clips share: settings that cannot work are refused, and how long a clip must be."""

from types import SimpleNamespace

import pytest
from torch import nn

from hf_unlab.objectives.clips import ClipTrainer, ClipTrainingArguments, refuse_layerdrop, refuse_showing_all


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"min_seconds": -1.0}, "0 <= min_seconds < max_seconds <= max_batch_seconds, not -1.0"),
        ({"max_seconds": 100.0}, "not 0.0, 100.0 and 87.5"),
        ({"bucket_num_batches": 0}, "bucket_num_batches must be at least 1, not 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        ClipTrainingArguments(str(tmp_path), use_cpu=True, **settings)


def test_a_clip_must_have_room_for_a_span(tmp_path):
    args = ClipTrainingArguments(str(tmp_path), use_cpu=True, max_seconds=2.0)
    trainer = ClipTrainer.__new__(ClipTrainer)
    trainer.args = args
    trainer.read_clips(args, 8_000, 4_000, "10 frames")
    assert trainer.make_decode().keywords == {"sampling_rate_hz": 8_000, "min_seconds": 0.5, "max_seconds": 2.0}
    assert trainer.make_buckets().measure.keywords == {"min_seconds": 0.5, "max_seconds": 2.0}
    with pytest.raises(ValueError, match=r"A hidden span of 10 frames takes 2\.5 seconds, more than max_seconds=2\.0"):
        trainer.read_clips(args, 8_000, 20_000, "10 frames")


def test_models_that_cannot_be_pretrained_are_refused():
    args = SimpleNamespace(world_size=2, gradient_checkpointing=True)
    refuse_layerdrop(args, SimpleNamespace(layerdrop=0.0))
    with pytest.raises(ValueError, match="set layerdrop=0"):
        refuse_layerdrop(args, SimpleNamespace(layerdrop=0.1))
    with pytest.raises(ValueError, match="hides no tokens: pretraining needs apply_spec_augment=True"):
        refuse_showing_all(nn.Linear(1, 1), SimpleNamespace(apply_spec_augment=True), "tokens")
