"""Rows of a fit: passes without a break, changed each time that they are read, the same in every run."""

import numpy as np
import torch

from hf_unlab.training.labelled_rows import LabelledRows, parts_of
from tests.training.test_finetuning import Numbers

INPUTS, LABELS = [float(i) for i in range(6)], np.arange(6) % 2


def test_each_pass_holds_each_example_once() -> None:
    rows = LabelledRows(Numbers(), INPUTS, LABELS, 15, seed=0)
    read = [rows[k] for k in range(len(rows))]
    assert len(read) == 15 and all(label == value % 2 for value, label in read)
    for start in (0, 6):
        assert sorted(value for value, _ in read[start : start + 6]) == INPUTS


def test_augmenting_draws_anew_each_time_and_the_same_in_every_run() -> None:
    def noisy(value: float, rng: np.random.Generator) -> float:
        return value + rng.uniform(0, 0.5)

    runs = [[LabelledRows(Numbers(), INPUTS, LABELS, 18, seed, noisy)[k] for k in range(18)] for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert len({value for value, _ in runs[0]}) == 18
    plain = LabelledRows(Numbers(), INPUTS, LABELS, 18, 0)
    assert [int(value) for value, _ in runs[0]] == [int(plain[k][0]) for k in range(18)]


def test_parts_share_a_step() -> None:
    class Small(Numbers):
        def batch_length(self, size: int) -> int:
            return 2

    parts = parts_of(Small(), [(1.0, 0), (2.0, 1), (3.0, 1)])
    assert [part["weight"] for part in parts] == [2 / 3, 1 / 3]
    assert torch.cat([part["labels"] for part in parts]).tolist() == [0, 1, 1]
