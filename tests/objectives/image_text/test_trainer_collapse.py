"""Image-text pretraining that collapses: both towers are watched, over all pairs of a step."""

import copy
import math

import pytest
import torch
from datasets import Dataset

from hf_unlab.evaluation.measures.representation import feature_spread
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer
from hf_unlab.testing import tiny_dual_encoder, tiny_pairs
from hf_unlab.training.collapse import CollapseError
from tests.training.collapse_helpers import COLLAPSING, CollapseTemplate, ForcedFrom
from tests.training.helpers import TINY_RUN

PAIRS = list(tiny_pairs(240))


def make_trainer(folder, callbacks=None, **settings):
    defaults = {**TINY_RUN, "per_device_train_batch_size": 8, "learning_rate": 1e-3}
    args = ImageTextContrastiveTrainingArguments(str(folder), **{**defaults, **settings})
    torch.manual_seed(0)
    model = tiny_dual_encoder(initializer_factor=10.0)  # by 1, images of one colour are all but equal at first
    stream = Dataset.from_list(PAIRS).to_iterable_dataset(num_shards=4)
    return ImageTextContrastiveTrainer(model, args, stream, callbacks=callbacks)


def same_image(model):
    model.model.vision_model.post_layernorm.weight.zero_()
    model.model.vision_model.post_layernorm.bias.fill_(1)


def same_text(model):
    model.model.text_model.final_layer_norm.weight.zero_()
    model.model.text_model.final_layer_norm.bias.fill_(1)


class TestImageText(CollapseTemplate):
    shown = r"image mean cosine 1\.000 \(at most 0\.999\)"
    rate = 1e-3
    spoil = staticmethod(same_image)

    def make(self, folder, callbacks=None, **settings):
        return make_trainer(folder, callbacks, **settings)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_either_tower_may_collapse_in_one_micro_batch_or_several(tmp_path, accumulation):
    settings = {**COLLAPSING, "gradient_accumulation_steps": accumulation, "learning_rate": 1e-4}
    trainer = make_trainer(tmp_path, [ForcedFrom(8, same_text)], **settings)
    with pytest.raises(CollapseError, match=r"text mean cosine 1\.000 \(at most 0\.999\).*lower learning_rate"):
        trainer.train()
    assert trainer.state.global_step == 14


def test_the_logs_hold_the_mean_cosines_of_the_whole_step(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=1, logging_steps=1, gradient_accumulation_steps=3)
    reference, steps, joint_step = copy.deepcopy(trainer.model), [], trainer.joint_step
    trainer.joint_step = lambda model, batches: steps.append(batches) or joint_step(model, batches)
    trainer.train()
    (batches,) = steps
    outputs = [reference(batch["pixel_values"], batch["input_ids"], batch.get("attention_mask")) for batch in batches]
    assert len(outputs) == 3
    for number, side in enumerate(("image", "text")):
        expected = feature_spread(torch.cat([output[number] for output in outputs]))["mean_cosine"]
        assert trainer.state.log_history[0][f"{side}_mean_cosine"] == pytest.approx(expected, abs=1e-5)


def test_a_logit_scale_at_its_bound_is_no_collapse(tmp_path):
    settings = {**COLLAPSING, "max_logit_scale": 50.0, "learning_rate": 1e-4}
    at_its_bound = ForcedFrom(0, lambda model: model.log_logit_scale.fill_(math.log(50)))
    trainer = make_trainer(tmp_path, [at_its_bound], **settings)
    trainer.train()
    assert trainer.state.global_step == 24


def test_the_greatest_cosine_is_the_users(tmp_path):
    settings = {**COLLAPSING, "collapse_max_cosine": 0.0}
    with pytest.raises(CollapseError, match=r"mean cosine .* \(at most 0\)"):
        make_trainer(tmp_path / "strict", **settings).train()
    trainer = make_trainer(tmp_path / "lax", [ForcedFrom(8, same_image)], **{**settings, "collapse_max_cosine": 1.0})
    trainer.train()  # where a locked tower cannot do better
    assert trainer.state.global_step == 24
    with pytest.raises(ValueError, match=r"collapse_max_cosine must lie between 0 and 1, not 1\.5"):
        make_trainer(tmp_path / "wrong", collapse_max_cosine=1.5)
