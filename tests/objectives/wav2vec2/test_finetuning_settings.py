"""What finetune.py is told: settings without effect are refused, and sources follow from the task."""

import pytest

from hf_unlab.objectives.wav2vec2.finetuning_settings import AudioFinetuneSettings


@pytest.mark.parametrize(
    "task, settings",
    [
        ("classification", {"lowercase": True, "mask_time_prob": 0.0}),
        ("classification", {"max_train_minutes": 1.0}),
        ("ctc", {"num_labels_per_class": 5}),
    ],
)
def test_settings_of_the_other_task_are_refused(task, settings):
    with pytest.raises(ValueError, match=f"{' and '.join(settings)} would have no effect on --task {task}"):
        AudioFinetuneSettings("m", task=task, **settings)
