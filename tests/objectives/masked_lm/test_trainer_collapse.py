"""Masked language modelling that collapses: states that are all equal, a loss well above a guess's; no plateau."""

import math

import pytest
import torch

from hf_unlab.evaluation.measures.representation import feature_spread
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer
from hf_unlab.training.collapse import CollapseError
from tests.training.collapse_helpers import COLLAPSING, CollapseTemplate, ForcedFrom
from tests.training.helpers import make_trainer


def same_state(model):
    norm = model.bert.encoder.layer[-1].output.LayerNorm
    norm.weight.zero_()
    norm.bias.fill_(1)


class TestMaskedLM(CollapseTemplate):
    shown = r"state mean cosine 1\.000 \(at most 0\.999\)"
    rate = 1e-2
    spoil = staticmethod(same_state)

    def make(self, folder, callbacks=None, **settings):
        return make_trainer(folder, callbacks=callbacks, **settings)


def surely_wrong(model):
    model.cls.predictions.bias[:2] = torch.tensor([1000.0, 0.0])


def test_a_loss_well_above_that_of_a_guess_is_a_collapse(tmp_path):
    """Such as behind a learning rate under which it diverges: the states still differ."""
    trainer = make_trainer(tmp_path, callbacks=[ForcedFrom(8, surely_wrong)], **COLLAPSING)
    with pytest.raises(CollapseError, match=rf"loss \d+\.\d \(at most {1 + math.log(300):g}\).*checkpoint-8"):
        trainer.train()
    assert trainer.state.global_step == 14


def test_a_plateau_is_none_unless_the_user_says_so(tmp_path):
    """At the unigram entropy everything may be predicted as one token, for long."""
    settings = {**COLLAPSING, "learning_rate": 1e-6, "collapse_patience_steps": 1}
    trainer = make_trainer(tmp_path / "default", **settings)
    trainer.train()
    assert trainer.state.global_step == 24
    with pytest.raises(CollapseError, match=r"loss .* \(at most 2\.5\)"):
        make_trainer(tmp_path / "strict", collapse_max_loss=2.5, **settings).train()


@pytest.mark.parametrize("narrows", [True, False])
def test_what_the_head_reads_is_measured_also_where_it_reads_all_positions(tmp_path, narrows):
    class Watching(MaskedLMTrainer):
        def _try(self, model):
            super()._try(model)
            self._narrows = narrows

    trainer = make_trainer(tmp_path, kind=Watching)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    seen = []
    head = trainer.model.cls
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().flatten(0, 1)))
    output = trainer.compute_objective(trainer.model.train(), batch)
    handle.remove()
    cosine_sum, num_pairs = output.metrics["state_mean_cosine"]
    num_rows = int(batch["num_items"]) if narrows else batch["input_ids"].numel()
    assert len(seen[0]) == num_rows and num_pairs == num_rows * (num_rows - 1)
    assert float(cosine_sum / num_pairs) == pytest.approx(feature_spread(seen[0])["mean_cosine"], abs=1e-5)
    assert not trainer.model.base_model._forward_hooks
    assert "state_mean_cosine" not in trainer.compute_objective(trainer.model.eval(), batch).metrics


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"collapse_max_cosine": 1.5}, r"collapse_max_cosine must lie between 0 and 1, not 1\.5"),
        ({"collapse_max_loss": 0.0}, r"collapse_max_loss must be above 0, not 0\.0; leave it out"),
    ],
)
def test_bounds_that_cannot_be_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **settings)
