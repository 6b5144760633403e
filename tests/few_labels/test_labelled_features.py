"""labelled_features.py: some features with their labels, for a map."""

import numpy as np
import pytest

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.labelled_features import FEATURES_NAME, MOST, keep_features, kept_features
from hf_unlab.hub.contents import is_published

FEATURES = np.arange(2 * (MOST + 100), dtype=np.float64).reshape(-1, 2)
TEST = LabelledData(list(range(len(FEATURES))), np.arange(len(FEATURES)) % 3, ("a", "b", "c"))


def test_so_many_at_most_each_with_its_label(tmp_path):
    keep_features(tmp_path, lambda: FEATURES, TEST, "toy", "abc")
    kept = kept_features(tmp_path, "abc")
    rows = (kept.features[:, 0] / 2).astype(int)
    assert len(kept) == len(set(rows)) == MOST and rows.max() >= MOST
    assert kept.values("label") == ["abc"[row % 3] for row in rows] and kept.metadata["num_test"] == MOST + 100
    assert kept_features(tmp_path, "of others") is None and not is_published(FEATURES_NAME, "transformers")


def test_a_file_that_is_missing_or_damaged(tmp_path):
    assert kept_features(tmp_path, "abc") is None
    (tmp_path / FEATURES_NAME).write_text("x")
    with pytest.raises(ValueError, match="is no parquet file"):
        kept_features(tmp_path, "abc")


def test_a_disk_that_is_full_is_a_warning(tmp_path, caplog):
    keep_features(tmp_path / "file" / "below", lambda: FEATURES, TEST, "toy", "abc")
    (tmp_path / "plain").write_text("")
    keep_features(tmp_path / "plain", lambda: FEATURES, TEST, "toy", "abc")
    assert "cannot be kept" in caplog.text
