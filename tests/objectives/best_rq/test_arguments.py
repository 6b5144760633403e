"""Settings of BEST-RQ pretraining."""

import pytest

from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_seconds": 2.0, "max_seconds": 1.0}, "min_seconds < max_seconds"),
        ({"max_batch_seconds": 1.0}, "max_seconds <= max_batch_seconds"),
        ({"normalise": "speaker"}, "normalise is 'speaker'; give clip, none, group"),
        ({"mask_share": 1.0}, "share of hidden tokens"),
        ({"mask_min_tokens": 8}, "shortest <= longest"),
        ({"codebook_size": 1}, "at least 1 codebook of 2 codes"),
        ({"bucket_num_batches": 0}, "bucket_num_batches must be at least 1"),
        ({"group_statistics_clips": 0}, "group_statistics_clips must be"),
        ({"collapse_max_cosine": 1.5}, "collapse_max_cosine must lie between"),
        ({"collapse_min_perplexity": -1}, "collapse_min_perplexity must lie between"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        BestRQTrainingArguments(str(tmp_path), **settings)
