"""What every family with signals owes: a collapse that is forced is caught in time, and each action works."""

import json
import math
from typing import ClassVar

import pytest
import torch
from transformers import TrainerCallback

from hf_unlab.training import collapse
from tests.training.helpers import At, losses, stop

PATIENCE, LOGGING = 6, 2
COLLAPSING = {
    "max_steps": 24,
    "logging_steps": LOGGING,
    "save_steps": 4,
    "warmup_steps": 2,
    "collapse_patience_steps": PATIENCE,
    "save_total_limit": 1,
    "lr_scheduler_type": "constant",
}


class ForcedFrom(TrainerCallback):
    """Spoils the weights before each step behind a number of steps; if `once`, until the run has gone back."""

    def __init__(self, step, force, once=False):
        self.step, self.force, self.once, self.latest = step, force, once, -1

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if self.once and state.global_step <= self.latest:
            self.step = math.inf
        self.latest = state.global_step
        if state.global_step >= self.step:
            with torch.no_grad():
                self.force(model)


class CollapseTemplate:
    shown: ClassVar[str]  # what is said of features that are all equal
    rate: ClassVar[float]  # the learning rate, under which runs are healthy

    def make(self, folder, callbacks=None, **settings):
        """A trainer, at the learning rate."""
        raise NotImplementedError

    @staticmethod
    def spoil(model):
        """Set weights so that the features are the same for every input."""
        raise NotImplementedError

    def forced(self, step, once=False):
        return ForcedFrom(step, self.spoil, once)

    def logged(self, trainer, name):
        return {line["step"]: line[name] for line in trainer.state.log_history if "loss" in line}

    @pytest.mark.parametrize("healthy, caught", [(8, 14), (9, 16), (10, 16), (0, 8)])
    def test_it_is_caught_within_the_patience_and_a_log_line_and_stops_the_run(self, tmp_path, healthy, caught):
        """Also from within a window that begins healthy, and from before the warm-up has ended."""
        trainer = self.make(tmp_path, [self.forced(healthy)], on_collapse="stop", **COLLAPSING)
        with pytest.raises(collapse.CollapseError, match=rf"{self.shown}, for 6 steps\. "):
            trainer.train()
        assert trainer.state.global_step == caught
        assert caught <= max(healthy, COLLAPSING["warmup_steps"]) + PATIENCE + LOGGING

    def test_the_last_good_checkpoint_is_named_and_kept(self, tmp_path):
        trainer = self.make(tmp_path, [self.forced(8)], on_collapse="stop", **COLLAPSING)
        with pytest.raises(collapse.CollapseError, match="checkpoint-8 is the last good"):
            trainer.train()
        assert (tmp_path / "checkpoint-8" / "manifest.json").exists()

    def test_it_is_only_said(self, tmp_path, caplog):
        trainer = self.make(tmp_path, [self.forced(8)], on_collapse="continue", **COLLAPSING)
        trainer.train()
        assert trainer.state.global_step == 24
        assert caplog.text.count("The model has collapsed") == 2  # every six steps
        acted = [line["step"] for line in trainer.state.log_history if collapse.ACTED in line]
        assert acted == [14, 20]

    def test_it_reduces_the_learning_rate_for_good(self, tmp_path):
        settings = {"on_collapse": "reduce_lr", "collapse_lr_factor": 0.1, **COLLAPSING}
        trainer = self.make(tmp_path / "whole", [self.forced(8)], **settings)
        trainer.train()
        rates = self.logged(trainer, "learning_rate")
        assert rates[14] == pytest.approx(self.rate) and rates[16] == rates[20] == pytest.approx(self.rate / 10)
        assert rates[22] == pytest.approx(self.rate / 100)  # it is collapsed still
        # a resumed run knows of it
        folder = tmp_path / "cut"
        self.make(folder, [self.forced(8), At(17, stop)], **settings).train()
        resumed = self.make(folder, [self.forced(8)], **settings)
        resumed.train(resume_from_checkpoint="auto")
        assert self.logged(resumed, "learning_rate") == rates and losses(resumed) == losses(trainer)

    def test_it_goes_back_to_the_last_good_checkpoint(self, tmp_path):
        settings = {"on_collapse": "go_back", **COLLAPSING}
        trainer = self.make(tmp_path, [self.forced(8, once=True)], **settings)
        trainer.train()
        assert trainer.state.global_step == 24
        rates = self.logged(trainer, "learning_rate")
        assert list(rates) == list(range(2, 25, 2))  # one history, without the collapsed part
        assert list(rates.values()) == pytest.approx([self.rate] * 4 + [self.rate / 2] * 8)
        band = trainer.collapse_signals()
        assert all(band.problem(line) is None for line in trainer.state.log_history if "loss" in line)
        kept = json.loads((tmp_path / "checkpoint-24" / "trainer_state.json").read_text())
        assert kept["log_history"] == trainer.state.log_history[: len(kept["log_history"])]

    def test_again_and_again_it_stops(self, tmp_path):
        trainer = self.make(tmp_path, [self.forced(8)], on_collapse="go_back", **COLLAPSING)
        with pytest.raises(collapse.CollapseError, match="checkpoint-8 is the last good"):
            trainer.train()
        assert collapse.base_rate(trainer.lr_scheduler) == pytest.approx(self.rate / 8)

    def test_weights_that_are_nan_are_a_collapse(self, tmp_path):
        def spoil(model):
            for parameter in model.parameters():
                parameter.fill_(math.nan)

        trainer = self.make(tmp_path, [ForcedFrom(8, spoil)], on_collapse="stop", **COLLAPSING)
        with pytest.raises(collapse.CollapseError, match=r"mean cosine nan \(.*checkpoint-8 is the last good"):
            trainer.train()
        assert trainer.state.global_step == 14

    def test_a_healthy_run_from_random_weights_is_let_be(self, tmp_path, caplog):
        trainer = self.make(tmp_path, on_collapse="stop", **{**COLLAPSING, "logging_steps": 1})
        trainer.train()
        assert trainer.state.global_step == 24 and "collapsed" not in caplog.text
