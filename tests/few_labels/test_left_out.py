"""Groups left out in turn: labels of the other groups alone, scores on the group alone."""

import numpy as np
import pytest

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.draws import Candidate
from hf_unlab.few_labels.left_out import left_out_table
from hf_unlab.few_labels.table import FewLabelTable

POOL = LabelledData(list(range(24)), np.arange(24) % 2, ("no", "yes"), tuple("aabbcc" * 4))
TEST = LabelledData(list(range(10)), np.arange(10) % 2, ("no", "yes"), tuple("aabbccaabb"))


def spying(asked):
    def predict(indices, seed):
        asked.append({POOL.groups[i] for i in indices})
        return np.array([0] * 6 + [1] * 4)  # right on half of each group

    return Candidate("spy", "looks", predict)


def test_labels_of_the_group_are_never_drawn():
    asked = []
    table = left_out_table([spying(asked)], POOL, TEST, (1, 4), (0, 1))
    assert table.groups == ("a", "b", "c") and table.num_test == 10
    for number, drawn in enumerate(asked):  # of each seed each group, of each group each count
        assert "abc"[number // 2 % 3] not in drawn
    assert len(asked) == 3 * 2 * 2


def test_a_cell_holds_all_groups_and_seeds():
    right_for_b = Candidate(
        "b", "knows", lambda indices, seed: np.where(np.array(list(TEST.groups)) == "b", TEST.labels, 1 - TEST.labels)
    )
    table = left_out_table([right_for_b], POOL, TEST, (2,), (0, 1))
    assert table.rows[0].accuracies[2] == (0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
    assert table.chance == pytest.approx(0.5)
    assert "2 seeds x 3 groups, each left out" in " ".join(table.render().split())
    assert FewLabelTable.from_json(table.to_json()) == table


def test_progress_counts_over_all_groups():
    told = []
    left_out_table([spying([])], POOL, TEST, (1,), (0,), lambda *given: told.append(given))
    assert told == [("spy", 0, 3), ("spy", 1, 3), ("spy", 2, 3)]


def test_a_group_that_the_pool_lacks_leaves_nothing_out():
    asked = []
    new = LabelledData(TEST.inputs, TEST.labels, TEST.label_names, tuple("xxyyxxyyxx"))
    assert left_out_table([spying(asked)], POOL, new, (12,), (0,)).groups == ("x", "y")
    assert asked == [{"a", "b", "c"}] * 2


def test_what_cannot_be_left_out_is_found_before_any_fit():
    asked, labels = [], np.where(np.array(POOL.groups) == "a", POOL.labels, 0)
    alone = LabelledData(POOL.inputs, labels, POOL.label_names, POOL.groups)
    with pytest.raises(ValueError, match=r"Only the group 'a' has labels of class 'yes'.*Add examples"):
        left_out_table([spying(asked)], alone, TEST, (1, 12))
    assert not asked


def test_what_is_left_of_a_class_is_said_of_the_group_that_leaves_fewest():
    asked = []
    table = left_out_table([spying(asked)], POOL, TEST, (1, 12), (0,))
    assert table.rare_classes == {"no": 8, "yes": 8} and len(asked) == 2 * 3
    labels = np.where((np.array(POOL.groups) == "a") | (np.arange(24) < 6), POOL.labels, 0)
    fewer = LabelledData(POOL.inputs, labels, POOL.label_names, POOL.groups)
    assert left_out_table([spying(asked)], fewer, TEST, (1, 5), (0,)).rare_classes == {"yes": 2}


def test_one_group_cannot_be_left_out():
    alone = LabelledData(TEST.inputs, TEST.labels, TEST.label_names, ("a",) * 10)
    with pytest.raises(ValueError, match="there must be several"):
        left_out_table([spying([])], POOL, alone)
