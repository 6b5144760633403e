"""staging.py: what would go up, and nothing of this machine in it."""

import json

import pytest

from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.staging import check_staged, staged

MIT = CardSettings("mit")


def test_tables_lose_the_folders_of_this_machine(checkpoint):
    task = json.loads((checkpoint / "few_label.json").read_text())["task"]
    assert task.startswith("/")
    with staged(checkpoint, "me/x", MIT) as one:
        assert json.loads((one.folder / "few_label.json").read_text())["task"] == "labels.jsonl"
        card = (one.folder / "README.md").read_text()
        assert "labels.jsonl" in card and str(checkpoint.parent) not in card
        assert one.sizes.keys() == set(one.contents.published)
        assert {path.name for path in one.folder.iterdir()} == set(one.contents.published), "and nothing else"
        check_staged(one, checkpoint)
    assert not one.folder.exists()


def test_a_card_that_somebody_wrote_goes_up_as_it_is(checkpoint):
    mine = "---\nlicense: mit\n---\n# Mine\n"
    (checkpoint / "README.md").write_text(mine)
    with staged(checkpoint, "me/x", CardSettings()) as one:
        assert (one.folder / "README.md").read_text() == mine and "as it is" in one.notes[0]
    with pytest.raises(ValueError, match=r"says license: mit, and apache-2\.0 is asked"):
        staged(checkpoint, "me/x", CardSettings("apache-2.0")).__enter__()
    with staged(checkpoint, "me/x", MIT, new_card=True) as one:
        assert "# x" in (one.folder / "README.md").read_text() and one.notes == ()
    with staged(checkpoint, "me/x", MIT, new_card=True) as one:
        ours = (one.folder / "README.md").read_text()
    (checkpoint / "README.md").write_text(ours)
    (checkpoint / "few_label.json").unlink()
    with staged(checkpoint, "me/x", MIT) as one:
        assert "not been measured" in (one.folder / "README.md").read_text(), "ours is made anew"
    (checkpoint / "README.md").write_text("# no metadata")
    with pytest.raises(ValueError, match="names no licence"), staged(checkpoint, "me/x", MIT):
        pass


def test_what_was_found_is_listed_up_to_a_number(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {f"path_{i}": f"{checkpoint}/{i}" for i in range(13)}))
    with staged(checkpoint, "me/x", MIT) as one, pytest.raises(ValueError, match=r"(?s)path_0.*and 3 more") as caught:
        check_staged(one, checkpoint)
    assert str(checkpoint) not in str(caught.value)


def test_a_run_that_is_another_s_weights_are_refused(checkpoint):
    facts = json.loads((checkpoint / "_facts.json").read_text())
    (checkpoint / "_facts.json").write_text(json.dumps({**facts, "weights": {"model.safetensors": "0" * 64}}))
    with (
        staged(checkpoint, "me/x", MIT) as one,
        pytest.raises(ValueError, match=r"model\.safetensors in .* is not what"),
    ):
        check_staged(one, checkpoint)


@pytest.mark.parametrize("base", [None, "", "/home/me/base", "./base", "a/b/c"])
def test_an_adapter_of_a_local_base_has_to_name_one(tmp_path, base):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    (tmp_path / "classifier").mkdir()
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    (tmp_path / "classifier" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"--base_model ME/NAME"), staged(tmp_path, "me/x", MIT):
        pass
    with staged(tmp_path, "me/x", CardSettings("mit", base_model="me/base")) as one:
        assert json.loads((one.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "me/base"
        assert 'from_pretrained("me/base", config=config)' in (one.folder / "README.md").read_text()
