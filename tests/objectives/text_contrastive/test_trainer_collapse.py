"""Contrastive learning on texts that collapses: a vector that is the same for all documents."""

import copy

import pytest
import torch

from hf_unlab.evaluation.measures.representation import feature_spread
from tests.objectives.text_contrastive.helpers import INPUTS, make_trainer, static
from tests.training.collapse_helpers import CollapseTemplate


def same_vector(model):
    model.embedding.weight.copy_(model.embedding.weight[:1].expand_as(model.embedding.weight))


class TestTextContrastive(CollapseTemplate):
    shown = r"mean cosine 1\.000 \(at most 0\.999\)"
    rate = 1e-3
    spoil = staticmethod(same_vector)

    def make(self, folder, callbacks=None, **settings):
        settings = {"learning_rate": 1e-3, "per_device_train_batch_size": 8, **settings}
        return make_trainer(folder, model=static(), callbacks=callbacks, **settings)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_logs_hold_the_mean_cosine_of_the_whole_step(tmp_path, accumulation):
    settings = {"max_steps": 1, "logging_steps": 1, "gradient_accumulation_steps": accumulation}
    trainer = make_trainer(tmp_path, model=static(), **settings)
    reference, steps, joint_step = copy.deepcopy(trainer.model), [], trainer.joint_step
    trainer.joint_step = lambda model, batches: steps.append(batches) or joint_step(model, batches)
    trainer.train()
    (batches,) = steps
    with torch.no_grad():
        features = [reference(**{name: batch[name] for name in INPUTS if name in batch})[0] for batch in batches]
    first = torch.cat([each.chunk(2)[0] for each in features])
    assert len(first) == 4 * accumulation
    expected = feature_spread(first)["mean_cosine"]
    assert trainer.state.log_history[0]["mean_cosine"] == pytest.approx(expected, abs=1e-5)
