"""Settings of learning by clusters: what is refused, and which round a step belongs to."""

import pytest

from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_rounds": 0}, "num_rounds must lie between 1 and max_steps=100, not 0"),
        ({"num_rounds": 101}, "num_rounds must lie between 1 and max_steps=100, not 101"),
        ({"cluster_sizes": []}, "cluster_sizes must name numbers of clusters"),
        ({"cluster_sizes": [1, 20]}, "each at least 2"),
        ({"cluster_sizes": [20, 20]}, "cluster_sizes must differ"),
        ({"pca_dim": 0}, "pca_dim must be at least 1"),
        ({"max_clustered": 79}, "max_clustered must be at least the number of clusters, 80, not 79"),
        ({"label_smoothing": 1.0}, "label_smoothing must lie"),
        ({"max_seconds": 0.0}, "max_seconds must be above 0"),
        ({"least_crop_area": 0.0}, "least_crop_area must be a share"),
        ({"least_crop_time": 1.5}, "least_crop_time must be a share"),
        ({"collapse_max_cluster": 0.0}, "collapse_max_cluster must be a share"),
        ({"normalise": "speaker"}, "normalise is 'speaker'; give clip, none, group"),
        ({"group_statistics_clips": 0}, "group_statistics_clips must be at least 1"),
        ({"flip_probability": 2.0}, "flip_probability must lie between 0 and 1"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ClusterTrainingArguments(str(tmp_path), **{"max_steps": 100, **settings})


@pytest.mark.parametrize("steps, rounds, first", [(12, 2, [1, 7]), (10, 3, [1, 5, 8]), (5, 5, [1, 2, 3, 4, 5])])
def test_rounds_have_as_many_steps_each(steps, rounds, first, tmp_path):
    args = ClusterTrainingArguments(str(tmp_path), max_steps=steps, num_rounds=rounds)
    numbers = [args.round_of(step) for step in range(1, steps + 1)]
    assert [numbers.index(number) + 1 for number in range(rounds)] == first and numbers == sorted(numbers)
