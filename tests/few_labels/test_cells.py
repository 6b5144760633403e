"""Finished fits that are kept: an interrupted table goes on, and nothing is taken for what it is not."""

import logging
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from hf_unlab.few_labels.cells import Cells, digest_of
from hf_unlab.few_labels.draws import Candidate, Part, few_label_table

POOL, TEST = np.repeat(np.arange(3), 20), np.tile(np.arange(3), 10)


class Killed(BaseException):
    """Not an Exception: a run that ends, not one that fails."""


class Counted:
    """A candidate that counts its fits, and ends the run in one of them."""

    def __init__(self, ends_at: int | None = None, num_classes: int = 0) -> None:
        self.calls, self.ends_at, self.num_classes = 0, ends_at, num_classes

    def __call__(self, indices: np.ndarray, seed: int) -> np.ndarray:
        self.calls += 1
        if self.calls == self.ends_at:
            raise Killed
        rng = np.random.default_rng([seed, *indices])
        return rng.dirichlet(np.ones(3), len(TEST)) if self.num_classes else rng.integers(0, 3, len(TEST))


def table(counted: Counted, folder, pool=POOL, test=TEST, name="x", key="checkpoint", **settings):
    candidate = Candidate(name, "y", counted)
    return few_label_table([candidate], pool, test, (2, 5, 9), (0, 1), cells=folder, key=key, **settings)


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("ends_at", [1, 4, 6])
def test_an_interrupted_table_goes_on_where_it_was(ends_at: int, num_classes: int, tmp_path) -> None:
    first = Counted(ends_at, num_classes)
    with pytest.raises(Killed):
        table(first, tmp_path / "cells")
    again, whole = Counted(None, num_classes), Counted(None, num_classes)
    assert table(again, tmp_path / "cells") == table(whole, None)
    assert (again.calls, whole.calls) == (6 - (ends_at - 1), 6)
    assert table(last := Counted(), tmp_path / "cells") and last.calls == 0
    assert all(path.suffix == ".npy" for path in (tmp_path / "cells").iterdir())


def test_an_interruption_between_candidates_keeps_both(tmp_path) -> None:
    for ends_at, expected in ((2, (6, 2)), (None, (0, 5))):
        one, other = Counted(), Counted(ends_at)
        candidates = [Candidate("one", "x", one), Candidate("other", "x", other)]
        try:
            few_label_table(candidates, POOL, TEST, (2, 5, 9), (0, 1), cells=tmp_path)
        except Killed:
            assert ends_at
        assert (one.calls, other.calls) == expected


def test_progress_is_told_of_kept_fits_too(tmp_path) -> None:
    table(Counted(), tmp_path)
    told: list[int] = []
    table(Counted(), tmp_path, on_progress=lambda name, done, total: told.append(done))
    assert told == list(range(6))


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "another checkpoint"},
        {"pool": np.roll(POOL, 1)},
        {"test": np.roll(TEST, 1)},
        {"name": "z"},
        {"parts": [Part(np.arange(1, len(POOL)), np.arange(len(TEST)))]},
    ],
)
def test_what_has_changed_is_fitted_anew(changed, tmp_path) -> None:
    table(Counted(), tmp_path)
    again = Counted()
    table(again, tmp_path, **changed)
    assert again.calls == 6


def test_predictions_that_are_refused_are_not_kept(tmp_path) -> None:
    short = Candidate("x", "y", lambda indices, seed: TEST[:3])
    with pytest.raises(ValueError, match="shape"):
        few_label_table([short], POOL, TEST, (2,), (0,), cells=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_repeated_and_said(tmp_path, caplog) -> None:
    expected = table(Counted(), tmp_path)
    broken = sorted(tmp_path.iterdir())[:2]
    broken[0].write_bytes(b"")
    broken[1].write_bytes(broken[1].read_bytes()[:-5])
    again = Counted()
    with caplog.at_level(logging.WARNING):
        assert table(again, tmp_path) == expected
    assert again.calls == 2 and caplog.text.count("cannot be read and is repeated") == 2


def test_a_folder_that_cannot_be_made_costs_no_result(tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert table(Counted(), tmp_path / "file" / "cells") == table(Counted(), None)
    assert "cannot be kept" in caplog.text


@dataclass
class Settings:
    rate: float
    names: list[str]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", 1),
        (1, True),
        (["a", "b"], ["ab"]),
        ([["a"], "b"], [["a", "b"]]),
        (np.zeros(2), np.zeros((2, 1))),
        (np.zeros(2, np.float32), np.zeros(2, np.int32)),
        (np.arange(5000), np.r_[np.arange(2500), 0, np.arange(2501, 5000)]),
        (torch.arange(5000), torch.arange(5000).flip(0)),
        ({"a": np.arange(3)}, {"a": np.arange(1, 4)}),
        (Settings(0.1, ["a"]), Settings(0.1, ["b"])),
        (Image.new("RGB", (2, 2)), Image.new("RGB", (2, 2), "white")),
        (Image.new("RGB", (2, 3)), Image.new("RGB", (3, 2))),
        ("\ud800", "\ud801"),
        (None, ""),
        (np.array(["a", None], dtype=object), np.array(["b", None], dtype=object)),
    ],
)
def test_digests_tell_values_apart(one, other) -> None:
    assert digest_of([one]) != digest_of([other])
    assert digest_of([one]) == digest_of([one]) and digest_of([other]) == digest_of([other])


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Cells(None).get_or_fit(("a",), lambda: TEST) is TEST and not list(tmp_path.iterdir())
