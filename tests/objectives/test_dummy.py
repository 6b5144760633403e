"""A new objective is one new place: the dummy, a single file and a line of the table, goes through everything."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from datasets import Dataset
from rich.console import Console
from transformers import Trainer

from hf_unlab.app.doctor import examine, read_settings
from hf_unlab.app.doctor.findings import render
from hf_unlab.objectives import OBJECTIVES, load_objective
from hf_unlab.testing import tiny_bert, tiny_texts, tiny_tokenizer
from hf_unlab.training.collapse import CollapseError
from tests.objectives import dummy
from tests.objectives.template import ObjectiveTemplate
from tests.processes.launching import in_two_processes, logged
from tests.training.helpers import TINY_RUN, At

TEXTS, TOKENIZER = tiny_texts(400), tiny_tokenizer()


def texts_and_labels(num_texts, seed):
    """A single word gives the label away."""
    texts = tiny_texts(num_texts, seed=seed)
    return [{"text": f"{'good' if i % 2 else 'bad'} {text}", "label": i % 2} for i, text in enumerate(texts)]


def make_trainer(folder, callbacks=None, rows=None, **settings):
    args = dummy.DummyTrainingArguments(str(folder), **{**TINY_RUN, "use_cpu": True, **settings})
    torch.manual_seed(0)
    rows = rows or [{"text": text} for text in TEXTS]
    return dummy.DummyTrainer(
        tiny_bert(hidden_dropout_prob=0.1),
        args,
        Dataset.from_list(rows).to_iterable_dataset(num_shards=3),
        processing_class=TOKENIZER,
        callbacks=callbacks,
        lanes={"labelled": Dataset.from_list(texts_and_labels(40, seed=5))},
    )


class TestDummy(ObjectiveTemplate):
    fixed: ClassVar = {"sequence_length": 8}

    def make(self, folder, callbacks=None, rows=None, **settings):
        return make_trainer(folder, callbacks, rows, **settings)

    def rows(self):
        return [{"text": text} for text in TEXTS]


def test_terms_of_different_units_have_divisors_of_their_own(tmp_path):
    """1 x 8 and 8 x 1 micro-batches of a step: the same gradient, of the model and of the head beside it."""
    trainer = make_trainer(tmp_path, max_steps=1)
    trainer.model.eval()
    loader = iter(trainer.get_train_dataloader())
    batches = [next(loader) for _ in range(2)]
    divisors = {
        unit: sum(flat[f"num_{unit}"] for b in batches for flat in (b, b["labelled"]) if f"num_{unit}" in flat)
        for unit in trainer.units
    }
    for batch in batches:
        trainer.compute_loss(trainer.model, batch, num_items_in_batch=divisors).backward()
    parts = [parameter.grad.clone() for parameter in (*trainer.model.parameters(), *trainer.auxiliary.trained)]
    trainer.model.zero_grad()
    trainer.auxiliary.zero_grad()
    whole = {name: torch.cat([b[name] for b in batches]) for name in ("input_ids", "labels")}
    whole |= {name: sum(b[name] for b in batches) for name in ("num_items", "num_texts")}
    lanes = [b["labelled"] for b in batches]
    whole["labelled"] = {name: torch.cat([b[name] for b in lanes]) for name in ("input_ids", "labels")}
    whole["labelled"]["num_labels"] = sum(b["num_labels"] for b in lanes)
    trainer.compute_loss(trainer.model, whole, num_items_in_batch=divisors).backward()
    for part, parameter in zip(parts, (*trainer.model.parameters(), *trainer.auxiliary.trained), strict=True):
        torch.testing.assert_close(part, parameter.grad, atol=1e-6, rtol=1e-4)


def test_the_teacher_follows_the_head_learns_and_neither_is_published(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=40, logging_steps=20)
    first = [parameter.clone() for parameter in trainer.auxiliary["teacher"].parameters()]
    trainer.train()
    teacher = list(trainer.auxiliary["teacher"].parameters())
    assert any(not torch.equal(one, other) for one, other in zip(first, teacher, strict=True))
    assert all(one.grad is None for one in teacher)
    *_, last = [line for line in trainer.state.log_history if "labelled_accuracy" in line]
    assert last["labelled_accuracy"] > 0.9 and last["masked_lm"] < 6
    assert (tmp_path / "checkpoint-40" / "_auxiliary.safetensors").exists()
    trainer.save_model(tmp_path / "published")
    names = {path.name for path in (tmp_path / "published").iterdir()}
    assert "_auxiliary.safetensors" not in names and "model.safetensors" in names
    config = json.loads((tmp_path / "published" / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]  # without the head of masked language modelling


def test_its_lanes_must_be_given(tmp_path):
    args = dummy.DummyTrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match="The lanes of DummyTrainer are: labelled; given: none"):
        dummy.DummyTrainer(tiny_bert(), args, Dataset.from_list([{"text": "a"}]), processing_class=TOKENIZER)


def test_its_own_signal_of_a_collapse_stops_the_run(tmp_path):
    settings = {"least_feature_std": 1e3, "collapse_patience_steps": 4, "warmup_steps": 0, "logging_steps": 2}
    with pytest.raises(CollapseError, match=r"feature std .* \(at least 1000\).*raise teacher_decay"):
        make_trainer(tmp_path, **settings).train()


def test_collators_hear_of_the_step(tmp_path):
    trainer = make_trainer(tmp_path, gradient_accumulation_steps=2)
    seen = []
    collate = trainer.get_train_dataloader().collate
    trainer._loader.collate = lambda examples, place: seen.append(place) or collate(examples, place)
    loader = iter(trainer._loader)
    for _ in range(4):
        next(loader)
    assert [tuple(place) for place in seen] == [(0, 0), (1, 0), (2, 1), (3, 1)]


# ---- In two processes, killed, resumed ----


def run_rank(folder, max_steps, kill_at):
    def die(control):
        os.kill(os.getpid(), signal.SIGKILL)

    callbacks = [At(kill_at, die)] if kill_at else None
    trainer = make_trainer(folder, callbacks, max_steps=max_steps)
    trainer.train(resume_from_checkpoint="auto")
    digest = {name: float(value.double().sum()) for name, value in trainer.auxiliary.state_dict().items()}
    (Path(folder) / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(digest))


def test_two_processes_killed_and_resumed_end_as_if_never_stopped(tmp_path):
    in_two_processes(run_rank, tmp_path / "whole", 9, None)
    cut = tmp_path / "cut"
    with pytest.raises(Exception):  # noqa: B017 - the ranks are gone
        in_two_processes(run_rank, cut, 9, 5)
    assert list(cut.glob("checkpoint-*"))  # there is one to go on from
    assert not (cut / "checkpoint-9").exists()
    in_two_processes(run_rank, cut, 9, None)
    assert logged(cut, 9, ("labelled_accuracy",)) == logged(tmp_path / "whole", 9, ("labelled_accuracy",))
    ranks = [
        json.loads((folder / f"rank-{r}.json").read_text()) for folder in (cut, tmp_path / "whole") for r in (0, 1)
    ]
    assert all(rank == ranks[0] for rank in ranks)  # the head and the teacher are the same everywhere


# ---- Recipe settings, doctor, console, table ----


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Its line in the table, a YAML file, raw texts and labelled ones."""
    monkeypatch.setitem(OBJECTIVES, "dummy", dummy.LINE)
    Dataset.from_list([{"text": text} for text in tiny_texts(300, num_words=30)]).to_parquet(tmp_path / "raw.parquet")
    for name, seed in (("train", 5), ("test", 6)):
        Dataset.from_list(texts_and_labels(40, seed)).to_parquet(tmp_path / f"{name}.parquet")
    yaml = tmp_path / "tiny.yaml"
    yaml.write_text(
        "model: tiny\nvocab_size: 300\nconfig_overrides: hidden_size=16,num_hidden_layers=1,intermediate_size=16\n"
        "max_steps: 4\nlogging_steps: 2\nsave_steps: 2\nnum_readers: 2\nper_device_train_batch_size: 4\n"
        "precision: fp32\nuse_cpu: true\nvalidation_fraction: 0.1\nteacher_decay: 0.5\n"
        "num_labels_per_class: [2]\nfew_label_seeds: [0]\nfinetune_steps: 2\n"
        f"dataset: parquet\ndata_files: [{tmp_path}/raw.parquet]\nlabelled_dataset: parquet\n"
        f"labelled_train_files: [{tmp_path}/train.parquet]\nlabelled_test_files: [{tmp_path}/test.parquet]\n"
        f"output_dir: {tmp_path}/out\n"
    )
    return yaml


def test_the_table_and_the_doctor_know_it(recipe, tmp_path):
    assert load_objective("dummy").trainer is dummy.DummyTrainer
    assert read_settings(["--config", str(recipe)]).teacher_decay == 0.5
    with (tmp_path / "shown").open("w") as shown:
        assert render(examine(["--config", str(recipe)]), Console(width=80, file=shown))
    recipe.write_text(recipe.read_text().replace("teacher_decay", "teacher_decey"))
    with pytest.raises(ValueError, match="did you mean teacher_decay"):
        read_settings(["--config", str(recipe)])


def test_its_recipe_ends_in_a_table_and_the_console_shows_its_metrics(recipe, tmp_path, capsys):
    dummy.main(["--config", str(recipe)])
    shown = capsys.readouterr().out
    assert "labelled accuracy" in shown and "features: std" in shown
    assert "held out:" in shown and "effective rank" in shown
    table = json.loads((tmp_path / "out" / "few_label.json").read_text())
    assert [row["name"] for row in table["rows"]] == [
        *("TF-IDF", "random weights", "pretrained", "pretrained + TF-IDF", "pretrained", "pretrained"),
        *("from scratch", "pretrained"),
    ]
    program = f"""
import sys
from transformers import AutoModel, AutoTokenizer
model, info = AutoModel.from_pretrained({str(tmp_path / "out")!r}, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
assert not any(name.startswith("hf_unlab") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True)


def test_no_objective_overrides_a_method_of_trainer_s_own():
    for trainer in (dummy.DummyTrainer, *(load_objective(name).trainer for name in OBJECTIVES)):
        overridden = {name for name in vars(trainer) if hasattr(Trainer, name) and not name.startswith("__")}
        assert not overridden, trainer
