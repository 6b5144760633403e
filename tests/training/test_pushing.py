"""What goes to the Hub: ordinary checkpoints and no raw data or secret; a checkpoint only when it is whole."""

import json
import shutil
from concurrent.futures import Future
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects, httpx
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from hf_unlab.training import pushing
from hf_unlab.training.checkpoints import damage, newest_whole_checkpoint
from hf_unlab.training.run_folder import HELD_OUT_NAME, RUN_NAME
from tests.training.helpers import TEXTS, At, assert_same_weights, make_trainer, stop
from tests.training.test_checkpointing import PartTrainer

TOKEN = "hf_" + "a1B2" * 8


class Hub:
    """A repository in a folder, by what of huggingface_hub's API Trainer uses; futures are done at once."""

    def __init__(self, folder):
        self.folder, self.messages, self.error = folder, [], None

    def create_repo(self, repo_id, **_):
        return huggingface_hub.RepoUrl(f"https://huggingface.co/me/{repo_id}")

    def upload_folder(
        self, *, folder_path, commit_message, path_in_repo="", ignore_patterns=(), run_as_future=False, **_
    ):
        self.messages.append(commit_message)
        names = [path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, ignore_patterns=list(ignore_patterns)):
            target = self.folder / path_in_repo / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder_path) / name, target)
        done = Future()
        done.set_exception(self.error) if self.error else done.set_result(None)
        return done if run_as_future else done.result()

    def names(self):
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    one = Hub(tmp_path / "hub")
    monkeypatch.setattr(pushing, "hf_api", lambda: one)
    monkeypatch.setattr("transformers.trainer.hf_api", lambda: one)
    return one


def all_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("strategy", ["end", "every_save", "checkpoint", "all_checkpoints"])
def test_neither_raw_data_nor_secrets_are_pushed_or_kept(tmp_path, hub, strategy):
    settings = {
        "hub_token": TOKEN,
        "push_to_hub": True,
        "hub_licence": "mit",
        "hub_strategy": strategy,
        "max_steps": 6,
    }
    trainer = make_trainer(tmp_path / "out", eval_strategy="steps", eval_steps=3, **settings)
    trainer.train()
    trainer.save_model()  # which pushes too
    assert (tmp_path / "out" / HELD_OUT_NAME).exists() and (tmp_path / "out" / RUN_NAME).exists()
    names = hub.names()
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    checkpoints = {name.partition("/")[0] for name in names if "checkpoint" in name}
    expected = {"checkpoint": {"last-checkpoint"}, "all_checkpoints": {"checkpoint-3", "checkpoint-6"}}
    assert checkpoints == expected.get(strategy, set())
    for name in names:
        assert not Path(name).name.startswith("_") and "held_out" not in name and "training_args" not in name, name
    assert not list((tmp_path / "out").rglob("training_args.bin"))
    for folder in (tmp_path / "out", hub.folder):
        assert TOKEN.encode() not in all_bytes(folder)
    assert not any(text.encode() in all_bytes(hub.folder) for text in TEXTS)
    steps = ["Training in progress, step 3", "Training in progress, step 6"]
    if strategy in expected:
        steps = [message for step in steps for message in (step, f"{step}, checkpoint")]
    assert hub.messages[:-1] == (steps if strategy != "end" else [])


def test_a_pushed_checkpoint_is_whole_and_a_run_goes_on_from_it(tmp_path, hub):
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    settings = {"push_to_hub": True, "hub_licence": "mit", "hub_strategy": "checkpoint", "callbacks": [At(10, stop)]}
    make_trainer(tmp_path / "cut", **settings).train()
    assert damage(hub.folder / "last-checkpoint") is None
    state = json.loads((hub.folder / "last-checkpoint" / "trainer_state.json").read_text())
    assert state["global_step"] == 9
    resumed = make_trainer(tmp_path / "elsewhere")
    resumed.train(str(hub.folder / "last-checkpoint"))
    assert_same_weights(resumed, whole)
    (tmp_path / "inside").mkdir()
    shutil.copytree(hub.folder / "last-checkpoint", tmp_path / "inside" / "last-checkpoint")  # as a download leaves it
    inside = make_trainer(tmp_path / "inside")
    inside.train(str(tmp_path / "inside" / "last-checkpoint"))
    assert_same_weights(inside, whole)
    assert (tmp_path / "inside" / "last-checkpoint").exists()


def test_the_published_part_is_pushed_while_the_run_goes_on(tmp_path, hub):
    settings = {"push_to_hub": True, "hub_licence": "mit", "hub_strategy": "every_save", "max_steps": 3}
    trainer = make_trainer(tmp_path / "out", kind=PartTrainer, **settings)
    trainer.train()
    assert json.loads((hub.folder / "config.json").read_text())["architectures"] == ["BertModel"]
    assert not any("cls" in name for name in load_file(hub.folder / "model.safetensors"))


def test_a_push_that_takes_long_is_not_overtaken(tmp_path, hub, monkeypatch):
    waiting = Future()
    upload = hub.upload_folder
    monkeypatch.setattr(hub, "upload_folder", lambda **given: (upload(**given), waiting)[1])
    settings = {"push_to_hub": True, "hub_licence": "mit", "hub_strategy": "every_save", "max_steps": 9}
    finish = At(7, lambda control: waiting.set_result(None))
    make_trainer(tmp_path / "out", callbacks=[finish], **settings).train()
    assert hub.messages == ["Training in progress, step 3", "Training in progress, step 9"]


def test_a_model_of_transformers_is_saved_as_trainer_saves_it(tmp_path):
    trainer = make_trainer(tmp_path / "out")
    trainer.save_model(tmp_path / "saved")
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_without_a_network_it_is_refused_before_training(tmp_path):
    with pytest.raises(
        ValueError, match=r"push_to_hub cannot .* 'run': .*offline.* Log in .* or leave push_to_hub out"
    ):
        make_trainer(tmp_path / "run", push_to_hub=True, hub_licence="mit")


def test_without_a_token_it_is_refused_before_training(tmp_path, hub, monkeypatch):
    def create_repo(*_, **__):
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(hub, "create_repo", create_repo)
    with pytest.raises(ValueError, match=r"repository 'me/bert': refused\. Log in"):
        make_trainer(tmp_path, push_to_hub=True, hub_licence="mit", hub_model_id="me/bert")


@pytest.mark.parametrize("error", [OSError("503 Service Unavailable"), httpx.ConnectError("connection refused")])
def test_a_hub_that_fails_later_is_a_warning(tmp_path, hub, caplog, error):
    hub.error = error
    trainer = make_trainer(tmp_path / "out", push_to_hub=True, hub_licence="mit", save_steps=6)
    trainer.train()
    assert trainer.state.global_step == 12
    trainer.save_model()
    said = [text for text in caplog.messages if text.startswith("Could not push to me/")]
    assert len(said) == 3 and all(f"{error}. The run goes on" in text for text in said)
    assert newest_whole_checkpoint(tmp_path / "out").name == "checkpoint-12"
    with pytest.raises(type(error)):  # asked for by name, it is an error
        trainer.push_to_hub()
