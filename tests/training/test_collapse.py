"""How a collapse is told from the logs, and what becomes of it; whole runs: the tests of the objectives' trainers.

Legend: N rows, D features.
"""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerState

from hf_unlab.evaluation.measures.representation import feature_spread
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer
from hf_unlab.training import collapse
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.checkpoints import write_manifest
from hf_unlab.training.collapse import (
    CollapseError,
    CollapseGuard,
    GoBack,
    Health,
    HealthyBand,
    Returns,
    cosine_sums,
    health,
)
from hf_unlab.training.stopping import StopSignals
from tests.training.helpers import make_trainer

BAND = HealthyBand({"rank": (4.0, None), "cosine": (None, 0.9)}, advice="raise weight")
GOOD, BAD = {"rank": 8.0, "cosine": 0.1}, {"rank": 1.5, "cosine": 0.1}


def history(*lines, every=10):
    return [{"step": every * (1 + number), **line} for number, line in enumerate(lines)]


@pytest.mark.parametrize(
    "logs, problem",
    [
        (GOOD, None),
        ({"rank": 4.0, "cosine": 0.9}, None),
        (BAD, "rank 1.500 (at least 4)"),
        ({"rank": 8.0, "cosine": 0.95}, "cosine 0.950 (at most 0.9)"),
        ({"rank": math.nan, "cosine": 0.1}, "rank nan (at least 4)"),
        ({"rank": 8.0, "cosine": math.nan}, "cosine nan (at most 0.9)"),
        ({"rank": math.inf, "cosine": 0.1}, None),
    ],
)
def test_what_lies_outside_the_band_is_named(logs, problem):
    assert BAND.problem(logs) == problem


def test_health_counts_from_the_last_good_line_the_warm_up_and_what_was_done():
    assert health([], BAND) == Health(0, 0, None)
    assert health(history(GOOD, BAD, BAD), BAND) == Health(10, 20, "rank 1.500 (at least 4)")
    assert health(history(GOOD, BAD, GOOD), BAND) == Health(30, 0, None)
    assert health(history(BAD, BAD, BAD), BAND) == Health(0, 30, "rank 1.500 (at least 4)")
    assert health(history(BAD, BAD, BAD), BAND, watch_from=20) == Health(0, 10, "rank 1.500 (at least 4)")
    assert health(history(BAD, BAD), BAND, watch_from=20) == Health(0, 0, None)
    acted = history(GOOD, {**BAD, collapse.ACTED: 1.0}, BAD)
    assert health(acted, BAND) == Health(10, 10, "rank 1.500 (at least 4)")


def test_lines_without_the_signals_say_nothing():
    lines = [*history(GOOD, BAD), {"step": 20, "eval_rank": 1.0}, {"step": 30, "rank": 9.0}]
    assert health(lines, BAND) == Health(10, 10, "rank 1.500 (at least 4)")


@given(num_rows=st.integers(2, 9), offset=st.floats(0, 50), seed=st.integers(0, 99))
def test_mean_cosines_are_those_of_all_pairs_in_any_order_direction_and_size(num_rows, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    features_ND = torch.randn(num_rows, 4, generator=generator) + offset
    rotation_DD = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    sizes_N1 = torch.rand(num_rows, 1, generator=generator) + 0.1
    expected = feature_spread(features_ND)["mean_cosine"]
    for each_ND in (features_ND, features_ND.flip(0), features_ND @ rotation_DD, features_ND * sizes_N1):
        cosine_sum, num_pairs = cosine_sums(each_ND)
        assert num_pairs == num_rows * (num_rows - 1)
        assert float(cosine_sum) / num_pairs == pytest.approx(expected, abs=1e-5)


def test_what_has_collapsed_has_the_mean_cosine_one():
    equal_ND = torch.full((1000, 8), 0.37)
    for features_ND in (equal_ND, 1e-3 * equal_ND, 0 * equal_ND, equal_ND.bfloat16()):
        cosine_sum, num_pairs = cosine_sums(features_ND)
        assert 1 - 1e-5 < float(cosine_sum) / num_pairs <= 1
    for wrong in (math.nan, math.inf):
        assert cosine_sums(torch.tensor([[1.0, 0.0], [wrong, 0.0], [0.0, 1.0]]))[0].isnan()
    halves_ND = torch.cat([torch.ones(2, 8), torch.zeros(2, 8)])
    assert cosine_sums(halves_ND) == (pytest.approx(4.0, abs=1e-5), 12)  # zeros are like zeros alone


@pytest.mark.parametrize("num_rows", [0, 1])
def test_a_single_row_is_no_collapse(num_rows):
    cosine_sum, num_pairs = cosine_sums(torch.ones(num_rows, 8))
    assert (float(cosine_sum), num_pairs) == (pytest.approx(0.0, abs=1e-6), 1)


def test_cosines_have_no_graph():
    assert not cosine_sums(torch.ones(3, 2, requires_grad=True))[0].requires_grad


def fake_trainer(folder, band=BAND, lines=(), **settings):
    """As much of a trainer as the guard looks at."""
    defaults = {"use_cpu": True, "max_steps": 100, "warmup_steps": 0, "collapse_patience_steps": 20}
    args = PretrainingArguments(str(folder), **{**defaults, **settings})
    state = TrainerState(log_history=history(*lines), global_step=10 * len(lines))
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight]}, {"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1)
    return SimpleNamespace(
        args=args,
        state=state,
        signals=StopSignals(),
        optimizer=optimizer,
        lr_scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
        accelerator=SimpleNamespace(wait_for_everyone=lambda: None),
        collapse_signals=lambda: band,
    )


def checkpoint(folder, step, is_whole=True):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "weights").write_text(str(step))
    if is_whole:
        write_manifest(path)
    return path


def test_a_guard_waits_for_as_many_steps_as_it_was_told(tmp_path):
    CollapseGuard(fake_trainer(tmp_path, lines=(GOOD, BAD))).look()
    with pytest.raises(CollapseError, match=r"rank 1.500 \(.*\), for 20 steps. There is no good .* raise weight"):
        CollapseGuard(fake_trainer(tmp_path, lines=(GOOD, BAD, BAD))).look()


def test_the_last_good_checkpoint_is_whole_and_not_behind_the_last_good_line(tmp_path):
    checkpoint(tmp_path, 5)
    checkpoint(tmp_path, 9, is_whole=False)
    checkpoint(tmp_path, 15)
    with pytest.raises(CollapseError, match="checkpoint-5 is the last good"):
        CollapseGuard(fake_trainer(tmp_path, lines=(GOOD, BAD, BAD))).look()


def test_a_signal_comes_first(tmp_path):
    trainer = fake_trainer(tmp_path, lines=(GOOD, BAD, BAD))
    guard = CollapseGuard(trainer)
    trainer.signals.received = "SIGTERM"
    guard.look()
    trainer.signals.received = None
    with pytest.raises(CollapseError):
        guard.look()


def test_a_reduced_rate_holds_for_all_groups_and_the_count_begins_anew(tmp_path, caplog):
    trainer = fake_trainer(tmp_path, lines=(GOOD, BAD, BAD), on_collapse="reduce_lr", collapse_lr_factor=0.5)
    guard = CollapseGuard(trainer)
    guard.look()
    guard.look()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.05, 0.05]
    trainer.optimizer.step()
    trainer.lr_scheduler.step()
    assert trainer.lr_scheduler.get_last_lr() == [0.05, 0.05] and collapse.base_rate(trainer.lr_scheduler) == 0.05
    assert caplog.text.count("The model has collapsed") == 1


def test_going_back_leaves_no_later_checkpoint_and_a_lower_rate_for_the_next_launch(tmp_path):
    for step in (5, 15, 25):
        checkpoint(tmp_path, step)
    trainer = fake_trainer(tmp_path, lines=(GOOD, BAD, BAD), on_collapse="go_back")
    guard = CollapseGuard(trainer)
    with pytest.raises(GoBack) as caught:
        guard.look()
    guard.go_back(caught.value.checkpoint)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-5"]
    assert Returns.load(tmp_path) == Returns(1, 0.05)
    again = fake_trainer(tmp_path, lines=(GOOD,), on_collapse="go_back")
    for _ in range(2):  # the rate is set, not multiplied once more
        CollapseGuard(again).begin()
        assert collapse.base_rate(again.lr_scheduler) == pytest.approx(0.05)
    CollapseGuard(fake_trainer(tmp_path, on_collapse="go_back")).begin()  # a new run
    assert Returns.load(tmp_path) == Returns()


def test_after_three_returns_the_run_stops(tmp_path):
    checkpoint(tmp_path, 5)
    Returns(3, 0.0125).save(tmp_path)
    with pytest.raises(CollapseError, match="checkpoint-5 is the last good"):
        CollapseGuard(fake_trainer(tmp_path, lines=(GOOD, BAD, BAD), on_collapse="go_back")).look()


def test_all_ranks_do_what_the_first_has_read(tmp_path, monkeypatch):
    """Else a rank that looks late finds the return already noted, and stops alone."""
    good = checkpoint(tmp_path, 5)
    Returns(3, 0.0125).save(tmp_path)
    monkeypatch.setattr(collapse, "gather_objects", lambda mine: [(good, 2) if isinstance(mine, tuple) else mine])
    with pytest.raises(GoBack) as caught:
        CollapseGuard(fake_trainer(tmp_path, lines=(GOOD, BAD, BAD), on_collapse="go_back")).look()
    assert caught.value.checkpoint == good


@pytest.mark.parametrize(
    "lines, may",
    [
        ((), True),  # nothing is good yet
        ((GOOD, BAD, BAD), False),  # 10 is good, and 20 and 30 would push it out
        ((GOOD, GOOD, BAD), True),  # 20 is among the two that stay
        ((GOOD, BAD, GOOD), True),
    ],
)
def test_the_last_good_checkpoint_is_not_rotated_away(tmp_path, lines, may):
    for step in (10, 20, 30):
        checkpoint(tmp_path, step)
    assert CollapseGuard(fake_trainer(tmp_path, lines=lines)).may_rotate(2) is may


def test_without_signals_nothing_is_watched_and_nothing_may_be_asked(tmp_path):
    unasked = {"collapse_patience_steps": PretrainingArguments.collapse_patience_steps}
    guard = CollapseGuard(fake_trainer(tmp_path, band=None, lines=(BAD, BAD, BAD), **unasked))
    guard.look()
    assert guard.may_rotate(1)
    for action in ("continue", "reduce_lr", "go_back"):
        with pytest.raises(ValueError, match=f"on_collapse={action} cannot act: SimpleNamespace names no signals"):
            CollapseGuard(fake_trainer(tmp_path, band=None, on_collapse=action, **unasked))
    for setting in ({"collapse_patience_steps": 20}, {"collapse_lr_factor": 0.1}):
        with pytest.raises(ValueError, match=r"collapse_.* cannot act: SimpleNamespace names no signals"):
            CollapseGuard(fake_trainer(tmp_path, band=None, **(unasked | setting)))


def test_a_trainer_without_signals_refuses_to_act_on_them(tmp_path):
    class Unwatched(MaskedLMTrainer):
        def collapse_signals(self):
            return None

    with pytest.raises(ValueError, match="on_collapse=go_back cannot act: Unwatched names no signals"):
        make_trainer(tmp_path, kind=Unwatched, on_collapse="go_back")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"on_collapse": "panic"}, "on_collapse must be one of continue, reduce_lr, go_back, stop"),
        ({"collapse_lr_factor": 0.0}, "collapse_lr_factor must lie between 0 and 1"),
        ({"collapse_patience_steps": 0}, "collapse_patience_steps be at least 1"),
        ({"on_collapse": "go_back", "lr_scheduler_type": "greedy", "eval_strategy": "steps"}, "needs a schedule"),
    ],
)
def test_settings_that_cannot_act_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        PretrainingArguments(str(tmp_path), **settings)


def test_a_watch_needs_the_logs(tmp_path):
    with pytest.raises(ValueError, match="looked for in the logs"):
        CollapseGuard(fake_trainer(tmp_path, logging_strategy="no"))
    CollapseGuard(fake_trainer(tmp_path, logging_strategy="no", on_collapse="continue"))


def test_returns_are_kept_as_json(tmp_path):
    Returns(2, 1e-4).save(tmp_path)
    assert json.loads((tmp_path / "_returns.json").read_text()) == {"number": 2, "base_rate": 1e-4}
