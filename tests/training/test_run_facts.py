"""run_facts.py: what a card says of a run, over resumes, and without a trace of the machine's folders or secrets."""

import json
import sys

import pytest
import torch

from hf_unlab.hub.facts import FACTS_NAME, hashes_of_weights, read_facts
from hf_unlab.streams.sources import Source
from hf_unlab.training import run_facts
from hf_unlab.training.run_facts import command_line, commit, hardware, told_settings
from tests.training.helpers import At, make_trainer, stop

TOKEN = "hf_" + "a1B2" * 8


def test_a_resumed_run_has_two_launches_and_counts_all(tmp_path):
    make_trainer(tmp_path / "out", callbacks=[At(7, stop)]).train()
    before = read_facts(tmp_path / "out")
    assert before.num_steps == 6 and len(before.sessions) == 1 and before.weights == {}
    trainer = make_trainer(tmp_path / "out")
    trainer.train("auto")
    trainer.save_model()
    after = read_facts(tmp_path / "out")
    assert [(one.first_step, one.last_step) for one in after.sessions] == [(0, 6), (6, 12)]
    assert after.seconds == sum(one.seconds for one in after.sessions) > before.seconds
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    whole.save_model()
    alone = read_facts(tmp_path / "whole")
    assert after.inputs == alone.inputs and after.num_steps == alone.num_steps == 12
    assert [one.num_examples for one in after.sources] == [one.num_examples for one in alone.sources]
    assert after.weights == hashes_of_weights(tmp_path / "out") == alone.weights


def test_a_run_that_begins_anew_forgets_the_one_before(tmp_path):
    for _ in range(2):
        trainer = make_trainer(tmp_path / "out", overwrite_output_dir=True, max_steps=3)
        trainer.train()
        trainer.save_model()
    assert len(read_facts(tmp_path / "out").sessions) == 1


def test_sources_are_described_and_local_ones_keep_their_folder_to_themselves(tmp_path):
    data = tmp_path / "private" / "rows.jsonl"
    data.parent.mkdir()
    data.write_text("".join(json.dumps({"text": f"a text of some words, {i}"}) + "\n" for i in range(200)))
    trainer = make_trainer(tmp_path / "out", [Source(str(data), licence="cc0-1.0", weight=2.0)], max_steps=3)
    trainer.train()
    (source,) = read_facts(tmp_path / "out").sources
    assert (source.name, source.path, source.licence, source.weight) == ("rows.jsonl", "", "cc0-1.0", 2.0)
    assert "private" not in (tmp_path / "out" / FACTS_NAME).read_text()


def test_a_command_tells_no_secret_and_no_folder(monkeypatch):
    argv = [
        "/home/ann/x/recipes/masked_lm/pretrain.py",
        "--dataset",
        "/home/ann/data/web.jsonl",
        "--output_dir",
        "out",
    ]
    argv += ["--hub_token", TOKEN, f"--api_token={TOKEN}", "--text_column", "my text", "https://me:word@host/a?sig=1"]
    text = command_line(argv)
    assert text == (
        "recipes/masked_lm/pretrain.py --dataset web.jsonl --output_dir out --hub_token *** --api_token=*** "
        '--text_column "my text" https://***@host/a?***'
    )
    assert command_line([""]) == "python"


def test_settings_are_those_that_somebody_chose(tmp_path):
    args = make_trainer(tmp_path / "out", learning_rate=0.5, hub_token=TOKEN, seed=3).args
    told = told_settings(args)
    assert told["learning_rate"] == 0.5 and told["seed"] == 3
    assert not {"output_dir", "hub_token", "save_steps", "lr_scheduler_kwargs", "accelerator_config"} & told.keys()
    assert TOKEN not in json.dumps(told) and str(tmp_path) not in json.dumps(told)


def test_the_commit_of_a_checkout(monkeypatch, tmp_path):
    found = commit()
    assert found is None or len(found.removesuffix("+")) == 40
    monkeypatch.setattr(run_facts, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    assert commit() is None
    (tmp_path / ".git").mkdir()
    assert commit() is None, "no repository that git knows"


def test_hardware_in_words():
    assert hardware(torch.device("cpu")).startswith(f"{torch.get_num_threads()} thread")
    assert hardware(torch.device("mps")) == "mps"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_a_processor_has_a_name():
    assert "@" not in hardware(torch.device("cpu"))
