"""Error rates of transcripts."""

import numpy as np
import pytest

from hf_unlab.evaluation.metrics import Accuracy, error_rates


def test_error_rates_by_hand():
    # 1 of 5 characters and 1 of 2 words are wrong; then 3 characters and 1 word were never said; then 3 of 3
    # characters and 1 of 1 words are missing.
    references, hypotheses = ["ab cd", "", "abc"], ["ab cx", "xyz", ""]
    assert error_rates(references, hypotheses) == pytest.approx({"cer": 7 / 8, "wer": 3 / 3})
    assert error_rates(["ab", ""], ["ab", ""]) == {"cer": 0.0, "wer": 0.0}
    assert error_rates(["ab"], [""]) == {"cer": 1.0, "wer": 1.0}
    with pytest.raises(ValueError, match="All references are empty"):
        error_rates(["", " "], ["a", ""])


def test_accuracy_writes_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    metric = Accuracy()
    assert metric.compute(predictions=np.array([0, 1, 2, 3]), references=np.array([0, 1, 2, 0])) == {"accuracy": 0.75}
    assert metric.compute(predictions=[1], references=[1]) == {"accuracy": 1.0}  # it can be used again
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
