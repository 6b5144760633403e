"""What is pushed is the model and no more; a Hub that cannot be reached is said before training, and ends no run."""

from concurrent.futures import Future
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.utils import httpx
from transformers.utils.hub import hf_api

from hf_unlab.training import checkpoints
from tests.training.helpers import make_trainer


class Hub:
    """In the place of the Hub's API; says what it was sent."""

    def __init__(self, monkeypatch, error=None):
        self.error, self.pushed = error, []
        monkeypatch.setattr(hf_api(), "create_repo", lambda name, **_: type("Url", (), {"repo_id": f"me/{name}"}))
        monkeypatch.setattr(hf_api(), "upload_folder", self.upload)

    def upload(self, *, repo_id, folder_path, commit_message, run_as_future, ignore_patterns, **_):
        names = {path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()}
        names = {name for name in names if not any(fnmatch(name, pattern) for pattern in ignore_patterns)}
        self.pushed.append((commit_message, names))
        is_whole = [checkpoints.damage(path) is None for path in Path(folder_path).glob("checkpoint-*")]
        assert all(is_whole)
        future = Future()
        future.set_exception(self.error) if self.error else future.set_result("commit")
        return future if run_as_future else future.result()


def test_without_a_network_it_is_refused_before_training(tmp_path):
    with pytest.raises(
        ValueError, match=r"push_to_hub cannot .* 'run': .*offline.* Log in .* or leave push_to_hub out"
    ):
        make_trainer(tmp_path / "run", push_to_hub=True)


def test_without_a_token_it_is_refused_before_training(tmp_path, monkeypatch):
    def create_repo(*_, **__):
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(hf_api(), "create_repo", create_repo)
    with pytest.raises(ValueError, match=r"repository 'me/bert': refused\. Log in"):
        make_trainer(tmp_path, push_to_hub=True, hub_model_id="me/bert")


def test_the_model_is_pushed_and_nothing_of_the_run(tmp_path, monkeypatch):
    hub = Hub(monkeypatch)
    trainer = make_trainer(tmp_path, push_to_hub=True, eval_strategy="steps", eval_steps=6, save_steps=6)
    trainer.train()
    trainer.save_model()
    assert [message for message, _ in hub.pushed] == [
        "Training in progress, step 6", "Training in progress, step 12", "Model save",
    ]  # fmt: skip
    for _, names in hub.pushed:
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
        assert names <= {"model.safetensors", "config.json", "generation_config.json", "README.md"} | {
            name for name in names if "token" in name
        }


@pytest.mark.parametrize("strategy, num_pushes", [("end", 0), ("every_save", 2)])
def test_the_strategy_decides_when(tmp_path, monkeypatch, strategy, num_pushes):
    hub = Hub(monkeypatch)
    make_trainer(tmp_path, push_to_hub=True, hub_strategy=strategy, save_steps=6).train()
    assert len(hub.pushed) == num_pushes


@pytest.mark.parametrize("error", [OSError("503 Service Unavailable"), httpx.ConnectError("connection refused")])
def test_a_hub_that_fails_later_is_a_warning(tmp_path, monkeypatch, caplog, error):
    Hub(monkeypatch, error)
    trainer = make_trainer(tmp_path, push_to_hub=True, save_steps=6)
    trainer.train()
    assert trainer.state.global_step == 12
    trainer.save_model()
    said = [text for text in caplog.messages if text.startswith("Could not push to me/")]
    assert len(said) == 3 and all(f"{error}. The run goes on" in text for text in said)
    assert checkpoints.newest_whole_checkpoint(tmp_path).name == "checkpoint-12"
    with pytest.raises(type(error)):  # asked for by name, it is an error
        trainer.push_to_hub()
