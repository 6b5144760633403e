"""Error rates of transcripts."""

import pytest

from hf_unlab.evaluation.measures.transcripts import error_rates


def test_error_rates_by_hand():
    # 1 of 5 characters and 1 of 2 words are wrong; then 3 characters and 1 word were never said; then 3 of 3
    # characters and 1 of 1 words are missing.
    references, hypotheses = ["ab cd", "", "abc"], ["ab cx", "xyz", ""]
    assert error_rates(references, hypotheses) == pytest.approx({"cer": 7 / 8, "wer": 3 / 3})
    assert error_rates(["ab", ""], ["ab", ""]) == {"cer": 0.0, "wer": 0.0}
    assert error_rates(["ab"], [""]) == {"cer": 1.0, "wer": 1.0}
    with pytest.raises(ValueError, match="All references are empty"):
        error_rates(["", " "], ["a", ""])
