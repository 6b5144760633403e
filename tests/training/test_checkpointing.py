"""Runs that save, stop and go on: whole checkpoints alone, one run a folder, all that a run needs in them."""

import copy
import json
import os

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel

from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer
from hf_unlab.testing import tiny_bert, tiny_stream
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.auxiliary import FILE_NAME
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer
from tests.processes.launching import in_two_processes
from tests.training.helpers import TEXTS, TINY_RUN, At, assert_same_weights, losses, make_trainer, stop


def test_a_checkpoint_cut_short_is_passed_over_and_the_run_is_still_the_uninterrupted_one(tmp_path):
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    make_trainer(tmp_path / "cut", callbacks=[At(10, stop)]).train()
    newest = tmp_path / "cut" / "checkpoint-9" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = make_trainer(tmp_path / "cut")
    resumed.train(resume_from_checkpoint="auto")
    assert losses(resumed) == losses(whole)


def test_a_finished_run_is_not_trained_further(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    weights = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    again = make_trainer(tmp_path)
    assert again.train(resume_from_checkpoint="auto").global_step == 12
    for name, parameter in again.model.named_parameters():
        assert torch.equal(parameter, weights[name])


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    make_trainer(tmp_path).train()
    with pytest.raises(ValueError, match="holds another run"):
        make_trainer(tmp_path).train()
    assert make_trainer(tmp_path, overwrite_output_dir=True).train().global_step == 12


def test_only_whole_checkpoints_stay_and_no_more_than_the_limit(tmp_path):
    make_trainer(tmp_path, save_steps=2, save_total_limit=2).train()
    checkpoints = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert checkpoints == ["checkpoint-10", "checkpoint-12"]
    assert all((tmp_path / name / "manifest.json").exists() for name in checkpoints)


def lengths(examples, place):
    lengths_B1 = torch.tensor([[len(example["text"])] for example in examples]) / 100
    return {"lengths_B1": lengths_B1, "num_items": torch.tensor(len(examples))}


class LengthTrainer(PretrainingTrainer):
    """Of any module; nothing in it is of transformers."""

    raw_columns = ("text",)

    def make_collator(self, *, evaluation):
        return lengths

    def compute_objective(self, model, batch):
        loss = model(batch["lengths_B1"]).square().sum()
        return ObjectiveOutput({"square": Term(loss, batch["num_items"])}, batch["num_items"])


def test_a_plain_module_is_saved_and_resumed_too(tmp_path):
    def make(folder, callbacks=None):
        torch.manual_seed(0)
        args = PretrainingArguments(str(folder), **TINY_RUN)
        return LengthTrainer(nn.Linear(1, 2), args, tiny_stream(TEXTS, num_shards=3), callbacks=callbacks)

    whole = make(tmp_path / "whole")
    whole.train()
    whole.save_model()
    make(tmp_path / "cut", [At(7, stop)]).train()
    resumed = make(tmp_path / "cut")
    resumed.train(resume_from_checkpoint="auto")
    assert torch.equal(load_file(tmp_path / "whole" / "model.safetensors")["weight"], resumed.model.weight)


class PartTrainer(MaskedLMTrainer):
    """Publishes the encoder alone; beside the model there are a head that learns and a teacher that follows."""

    def auxiliary_modules(self):
        teacher = copy.deepcopy(self.model).requires_grad_(False).eval()  # its embeddings are tied
        return {"head": nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 1)), "teacher": teacher}

    def published_model(self):
        return super().published_model().base_model

    def is_decayed(self, name, parameter):
        return "embeddings" not in name

    def compute_objective(self, model, batch):
        output = super().compute_objective(model, batch)
        features_BD = self.model.base_model(batch["input_ids"]).last_hidden_state[:, 0]
        output.terms["head"] = Term(100 * self.auxiliary["head"](features_BD).square().sum(), batch["num_items"])
        return output

    def after_optimizer_step(self, step):
        with torch.no_grad():
            for one, other in zip(self.auxiliary["teacher"].parameters(), self.model.parameters(), strict=True):
                one.lerp_(other, 0.1)


def test_what_is_published_may_be_a_part_of_what_checkpoints_hold(tmp_path):
    trainer = make_trainer(tmp_path, kind=PartTrainer, max_steps=3)
    trainer.train()
    trainer.save_model(tmp_path / "published")
    checkpoint = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert {"bert.embeddings.word_embeddings.weight", "cls.predictions.bias"} <= checkpoint.keys()
    assert (tmp_path / "checkpoint-3" / FILE_NAME).exists()
    names = {path.name for path in (tmp_path / "published").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names and FILE_NAME not in names
    assert json.loads((tmp_path / "published" / "config.json").read_text())["architectures"] == ["BertModel"]
    loaded, report = AutoModel.from_pretrained(tmp_path / "published", output_loading_info=True)
    assert report["missing_keys"] == {"pooler.dense.weight", "pooler.dense.bias"}  # which the model never had
    assert not report["unexpected_keys"]
    for name, weight in trainer.model.base_model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name
    # as FSDP gives it: gathered beforehand, with the names of the whole
    trainer._save(str(tmp_path / "gathered"), trainer.model.state_dict())
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("published", "gathered"))
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def assert_same_auxiliary(one, other):
    states = [trainer.auxiliary.state_dict() for trainer in (one, other)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_run_with_modules_beside_the_model_resumes_to_the_last_bit(tmp_path):
    whole = make_trainer(tmp_path / "whole", kind=PartTrainer)
    whole.train()
    begun = make_trainer(tmp_path / "other", kind=PartTrainer).auxiliary
    for name in ("head", "teacher"):  # both have moved
        moved = zip(begun[name].parameters(), whole.auxiliary[name].parameters(), strict=True)
        assert not all(torch.equal(one, other) for one, other in moved)
    make_trainer(tmp_path / "cut", kind=PartTrainer, callbacks=[At(7, stop)]).train()
    resumed = make_trainer(tmp_path / "cut", kind=PartTrainer)
    resumed.train(resume_from_checkpoint="auto")
    finished = make_trainer(tmp_path / "cut", kind=PartTrainer)
    finished.train(resume_from_checkpoint="auto")  # nothing left to do, but to load
    for one in (resumed, finished):
        assert_same_weights(one, whole)
        assert_same_auxiliary(one, whole)
    assert losses(resumed) == losses(whole)


def test_an_evaluation_before_training_changes_nothing(tmp_path):
    """Models come from `from_pretrained` in evaluation mode; heads must not be left in it, nor teachers be woken."""
    trainers = [make_trainer(tmp_path / name, kind=PartTrainer) for name in ("plain", "evaluated")]
    trainers[1].model.eval()
    trainers[1].evaluate()
    for trainer in trainers:
        torch.manual_seed(0)
        trainer.train()
        assert trainer.auxiliary["head"].training and not trainer.auxiliary["teacher"].training
    assert losses(trainers[0]) == losses(trainers[1])


def test_modules_beside_the_best_model_are_those_of_the_same_step(tmp_path):
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "greater_is_better": True}
    trainer = make_trainer(tmp_path, kind=PartTrainer, metric_for_best_model="loss", **best)
    trainer.train()
    measured = {line["step"]: line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line}
    best = max(measured, key=measured.__getitem__)
    assert best < 12 and trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    saved = load_file(tmp_path / f"checkpoint-{best}" / FILE_NAME)
    assert all(torch.equal(value, saved[name]) for name, value in trainer.auxiliary.state_dict().items())
    assert trainer.evaluate()["eval_loss"] == measured[best]


def test_an_objective_says_what_is_not_decayed(tmp_path):
    trainer = make_trainer(tmp_path, kind=PartTrainer, weight_decay=0.1)
    stock = make_trainer(tmp_path).get_decay_parameter_names(trainer.model)
    ours = trainer.get_decay_parameter_names(trainer.model)
    assert set(stock) - set(ours) == {name for name in stock if "embeddings" in name} != set()
    groups = trainer.create_optimizer().param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0, 0.1, 0.0]
    head = trainer.auxiliary["head"][1]
    assert groups[2]["params"] == [head.weight] and groups[3]["params"] == [head.bias]
    assert trainer.create_optimizer().param_groups == groups  # none is added twice


class GradientNorms(At):
    """Of the model and of the head, as the first optimizer step sees them."""

    def __init__(self, parts):
        self.parts, self.norms = parts, None

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        grads = [[one.grad for one in part if one.grad is not None] for part in self.parts]
        self.norms = self.norms or [nn.utils.get_total_norm(each).item() for each in grads]

    def on_step_end(self, args, state, control, **kwargs):
        pass


def test_gradients_of_the_model_and_beside_it_are_clipped_together(tmp_path):
    seen = []
    for limit in (1e6, 0.5):
        settings = {"max_grad_norm": limit, "max_steps": 1, "logging_steps": 1}
        trainer = make_trainer(tmp_path / str(limit), kind=PartTrainer, **settings)
        norms = GradientNorms([list(trainer.model.parameters()), trainer.auxiliary.trained])
        trainer.add_callback(norms)
        trainer.train()
        (logged,) = [line["grad_norm"] for line in trainer.state.log_history if "loss" in line]
        seen.append((norms.norms, logged))
    (whole, logged), (clipped, also_logged) = seen
    norm = (whole[0] ** 2 + whole[1] ** 2) ** 0.5
    assert min(whole) > 0.5 and logged == also_logged == pytest.approx(norm, rel=1e-4)
    assert clipped == pytest.approx([0.5 * part / norm for part in whole], rel=1e-4)


def test_an_optimizer_that_leaves_out_the_head_is_refused(tmp_path):
    model = tiny_bert()
    given = (torch.optim.SGD(model.parameters(), lr=0.1), None)
    assert make_trainer(tmp_path / "alone", model=model, optimizers=given, max_steps=1).train().global_step == 1
    with pytest.raises(ValueError, match=r"does not have the parameters of the auxiliary modules \(head, teacher\)"):
        make_trainer(tmp_path, kind=PartTrainer, model=model, optimizers=given).train()


def train_rank(folder):
    torch.manual_seed(int(os.environ["RANK"]))
    model = tiny_bert()  # ranks begin with other weights, as in a script that forgets the seed; DDP makes them alike
    trainer = make_trainer(folder, kind=PartTrainer, model=model, max_steps=3, use_cpu=True)
    trainer.train()
    digest = {name: value.double().sum().item() for name, value in trainer.auxiliary.state_dict().items()}
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(digest))


def test_modules_beside_the_model_are_alike_on_all_ranks(tmp_path):
    in_two_processes(train_rank, tmp_path)
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
