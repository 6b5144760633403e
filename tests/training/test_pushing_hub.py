"""pushing.py over HTTP: Trainer's pushes arrive with the card, by the list, and a Hub that fails ends no run."""

import json

import pytest

from hf_unlab.hub.contents import NOT_PUBLISHED
from hf_unlab.testing.loopback_failures import Failure
from tests.hub.conftest import TOKEN, hub  # noqa: F401  a fixture
from tests.training.helpers import TEXTS, make_trainer


@pytest.fixture(autouse=True)
def shared(hub, monkeypatch):  # noqa: F811
    from huggingface_hub import HfApi

    from hf_unlab.training import pushing

    api = HfApi(endpoint=hub.endpoint, token=TOKEN)
    monkeypatch.setattr(pushing, "hf_api", lambda: api)
    monkeypatch.setattr("transformers.trainer.hf_api", lambda: api)
    return api


@pytest.mark.parametrize("strategy", ["end", "every_save"])
def test_pushes_hold_the_card_and_what_a_list_names(tmp_path, hub, strategy):  # noqa: F811
    settings = {"push_to_hub": True, "hub_licence": "mit", "hub_model_id": "alice/bert", "hub_strategy": strategy}
    trainer = make_trainer(tmp_path / "out", max_steps=6, eval_strategy="steps", eval_steps=3, **settings)
    trainer.train()
    trainer.save_model()
    files = hub.files("alice/bert")
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "training.png"} <= files.keys()
    assert not any(name.startswith("_") or "checkpoint" in name for name in files) and NOT_PUBLISHED
    card = files["README.md"].decode()
    assert "license: mit" in card and 'from_pretrained("alice/bert")' in card and "6 steps of" in card
    everything = b"".join(files.values())
    assert not any(text.encode() in everything for text in TEXTS) and TOKEN.encode() not in everything
    titles = [commit.title for commit in hub.commits("alice/bert")]
    assert titles[0] == "Model save" and ("Training in progress, step 3" in titles) == (strategy == "every_save")


def test_something_that_must_not_go_up_stays_and_the_run_goes_on(tmp_path, hub, caplog):  # noqa: F811
    settings = {"push_to_hub": True, "hub_licence": "mit", "hub_model_id": "alice/bert"}
    trainer = make_trainer(tmp_path / "out", max_steps=3, **settings)
    trainer.model.config.note = TOKEN
    trainer.train()
    assert hub.files("alice/bert").keys() == {".gitattributes"}
    said = [text for text in caplog.messages if "Could not push to alice/bert" in text]
    assert said and TOKEN not in "".join(said)
    with pytest.raises(ValueError, match=r"config\.json, note: a Hugging Face token"):
        trainer.push_to_hub()


def test_a_hub_that_breaks_off_is_a_warning_and_the_next_push_is_whole(tmp_path, hub, caplog):  # noqa: F811
    settings = {"push_to_hub": True, "hub_licence": "mit", "hub_model_id": "alice/bert", "hub_strategy": "every_save"}
    hub.fail(Failure("cut_upload", path_pattern="/commit/"))
    trainer = make_trainer(tmp_path / "out", max_steps=6, **settings)
    trainer.train()
    trainer.save_model()
    assert trainer.state.global_step == 6
    assert any("Could not push to alice/bert" in text for text in caplog.messages)
    assert json.loads(hub.files("alice/bert")["config.json"])["architectures"]


def test_a_licence_is_asked_for_before_training(tmp_path):
    with pytest.raises(ValueError, match="push_to_hub needs a licence"):
        make_trainer(tmp_path / "out", push_to_hub=True, hub_model_id="alice/bert")
