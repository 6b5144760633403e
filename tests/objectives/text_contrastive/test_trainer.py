"""The contrastive trainer of texts: what every objective owes, its data, its evaluation and its end."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModel

from hf_unlab.testing import tiny_texts
from hf_unlab.training.alone import alone_and_quiet
from tests.objectives.template import ObjectiveTemplate
from tests.objectives.text_contrastive.helpers import (
    TEXTS,
    TRIPLET,
    make_trainer,
    static,
    stream,
    transformer,
    triplets,
)


class TestTransformer(ObjectiveTemplate):
    fixed: ClassVar = {"views": ["crops"], "max_view_tokens": 5, "masked_lm_weight": 0.5, "mask_probability": 0.2}

    def make(self, folder, callbacks=None, rows=None, **settings):
        data = stream() if rows is None else Dataset.from_list(rows).to_iterable_dataset(num_shards=4)
        settings = {"max_steps": 12, "logging_steps": 4, **settings}
        # a head that nothing trains, so that all settings can be changed
        return make_trainer(folder, data, transformer(has_head=True), callbacks=callbacks, **settings)

    def rows(self):
        return [{"text": text} for text in TEXTS]


class TestStatic:
    """Of a table what weights and their moments are about."""

    cuts = ((6, (0, 2), 2),)
    pytest_generate_tests = ObjectiveTemplate.pytest_generate_tests
    test_resuming = ObjectiveTemplate.test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit

    def make(self, folder, callbacks=None, **settings):
        settings = {"max_steps": 12, "logging_steps": 4, "columns": TRIPLET, **settings}
        return make_trainer(folder, triplets(), static(), callbacks=callbacks, **settings)


def test_training_learns_and_the_logs_say_so(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=40, logging_steps=20, per_device_train_batch_size=16, model=static())
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    first, *_, last = [log for log in trainer.state.log_history if "loss" in log]
    assert last["loss"] < first["loss"]
    assert {"accuracy", "mean_cosine", "documents_per_second", "data/examples"} <= last.keys()
    assert after["eval_loss"] < before["eval_loss"]
    assert 0 <= after["eval_contrastive_accuracy"] <= 1  # words at random have nothing in common to find


def test_accuracy_is_that_of_all_held_out_documents_together(tmp_path):
    """Whatever the batches of the evaluation are; the views of a batch are drawn by its number, so pairs are given."""
    rows = triplets(40)
    found = []
    for size in (7, 100):
        settings = {"eval_dataset": rows, "columns": TRIPLET, "per_device_eval_batch_size": size}
        found.append(make_trainer(tmp_path / str(size), triplets(), **settings).evaluate())
    assert found[0]["eval_contrastive_accuracy"] == found[1]["eval_contrastive_accuracy"]


@pytest.mark.parametrize("columns", [TRIPLET[:2], TRIPLET])
def test_pairs_and_triplets_train(tmp_path, columns):
    trainer = make_trainer(tmp_path, triplets(), static(), columns=columns, max_steps=30, logging_steps=10)
    trainer.train()
    metrics = trainer.evaluate()
    assert trainer.state.global_step == 30 and np.isfinite(metrics["eval_loss"])
    held_out = Dataset.from_parquet(str(tmp_path / "_held_out.parquet"))
    assert set(columns) <= set(held_out.column_names)


def test_a_text_is_missing_of_a_pair(tmp_path):
    rows = [dict(row) for row in triplets()]
    for number, column in ((3, "anchor"), (50, "positive"), (90, "negative")):
        rows[number][column] = " "
    data = Dataset.from_list(rows).to_iterable_dataset(num_shards=4)
    settings = {"max_steps": 25, "per_device_train_batch_size": 16, "num_readers": 1}
    trainer = make_trainer(tmp_path, data, static(), columns=TRIPLET, max_bad_fraction=0.5, **settings)
    trainer.train()
    (progress,) = trainer._progress()
    assert progress.tally.reasons.keys() == {"empty"} and progress.tally.num_bad > 0


@pytest.mark.parametrize("make", [static, transformer])
def test_documents_of_a_token_or_none_do_no_harm(tmp_path, make):
    texts = [text for i in range(60) for text in (f"river {i}", "the", "?!", f"{i}", "the red river")]
    trainer = make_trainer(tmp_path, stream(texts), make(), logging_steps=1, per_device_train_batch_size=8)
    trainer.train()
    assert all(np.isfinite(log["loss"]) for log in trainer.state.log_history if "loss" in log)
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_the_run_ends_behind_so_many_passes_but_not_before_the_fewest_steps(tmp_path):
    """400 texts, a tenth of them held out: 3 steps of 120 are a pass."""
    settings = {"per_device_train_batch_size": 120, "max_steps": 100, "logging_steps": 1, "num_readers": 1}

    def steps(name, **more):
        trainer = make_trainer(tmp_path / name, model=static(), **{**settings, **more})
        trainer.train()
        last = [log for log in trainer.state.log_history if "data/epochs" in log][-1]
        return trainer.state.global_step, last["data/epochs"]

    num_steps, num_passes = steps("passes", max_passes=2, min_steps=1)
    assert 5 <= num_steps <= 8 and num_passes == 2
    assert steps("at least", max_passes=2, min_steps=11)[0] == 11
    assert steps("at most", max_passes=2, min_steps=1, max_steps=4)[0] == 4
    assert steps("endless", max_passes=None, max_steps=13) == (13, 4)


def test_when_it_ends_does_not_depend_on_the_logs_and_it_is_over_when_it_is_resumed(tmp_path):
    settings = {"per_device_train_batch_size": 120, "max_steps": 100, "num_readers": 1, "min_steps": 1}
    settings |= {"max_passes": 2, "logging_steps": 1000, "save_strategy": "steps", "save_steps": 1000}
    trainer = make_trainer(tmp_path, model=static(), **settings)
    trainer.train()
    num_steps = trainer.state.global_step
    assert 5 <= num_steps <= 8 and (tmp_path / f"checkpoint-{num_steps}").is_dir()
    again = make_trainer(tmp_path, model=static(), **settings)
    again.train(resume_from_checkpoint="auto")
    assert again.state.global_step == num_steps
    for name, parameter in trainer.model.state_dict().items():
        assert torch.equal(parameter, again.model.state_dict()[name])


def test_of_several_sources_all_are_read_so_often(tmp_path):
    data = [stream(), stream(tiny_texts(200, seed=3))]
    settings = {"per_device_train_batch_size": 80, "max_steps": 100, "logging_steps": 1, "num_readers": 1}
    trainer = make_trainer(tmp_path, data, static(), max_passes=1, min_steps=1, **settings)
    trainer.train()
    last = [log for log in trainer.state.log_history if "loss" in log][-1]
    epochs = [value for name, value in last.items() if name.endswith("/epochs")]
    assert len(epochs) == 2 and min(epochs) >= 1 and trainer.state.global_step < 100


@pytest.mark.parametrize("make", [static, transformer])
def test_the_checkpoint_is_an_ordinary_one(tmp_path, make):
    trainer = make_trainer(tmp_path, model=make(), max_steps=3)
    trainer.train()
    again = make()
    with alone_and_quiet():
        again.load_weights(tmp_path / "checkpoint-3")
    weights = trainer.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.state_dict().items())
    if make is transformer:
        with alone_and_quiet():
            assert AutoModel.from_pretrained(tmp_path / "checkpoint-3").config.model_type == "bert"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"columns": ("anchor",)}, r"columns are \('anchor',\); they must be"),
        ({"matryoshka_dims": [4, 17]}, "matryoshka_dims has 17, and the model has 16 features"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **settings)


def test_gains_and_biases_are_not_decayed(tmp_path):
    trainer = make_trainer(tmp_path)
    decayed = set(trainer.get_decay_parameter_names(trainer.model))
    sizes = {name: parameter.ndim for name, parameter in trainer.model.named_parameters()}
    assert decayed == {name for name, size in sizes.items() if size >= 2}
