"""facts.py: what a run tells of itself."""

import json

import pytest

from hf_unlab.hub.facts import FACTS_NAME, RunFacts, Session, hashes_of_weights, read_facts


def test_a_run_tells_of_itself(trained):
    facts = read_facts(trained)
    assert facts and facts.trainer == "MaskedLMTrainer" and "Devlin" in facts.objective
    assert facts.num_steps == 4 and facts.num_examples_a_step == 4 and facts.inputs[1] == "tokens"
    (source,) = facts.sources
    assert (source.name, source.path, source.licence) == ("reviews.jsonl", "", "cc0-1.0")
    assert source.num_examples == 16
    (session,) = facts.sessions
    assert session.seconds > 0 and session.last_step == 4 and session.energy_joules[0] > 0
    assert "eval_loss" in facts.metrics and facts.weights == hashes_of_weights(trained)
    assert str(trained.parent) not in (trained / FACTS_NAME).read_text()


def test_what_a_newer_version_added_is_left_out():
    content = {"trainer": "X", "new": 1, "sessions": [{"seconds": 2, "new": 1}], "sources": [{"name": "a", "new": 2}]}
    facts = RunFacts.of(content)
    assert facts.sessions == [Session(seconds=2)] and facts.seconds == 2


@pytest.mark.parametrize("text", ["[]", "{", '{"sources": [1]}', '{"inputs": []}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / FACTS_NAME).write_text(text)
    with pytest.raises(ValueError, match=r"_facts\.json cannot be read.*Delete it"):
        read_facts(tmp_path)


def test_no_file_is_no_facts(tmp_path):
    assert read_facts(tmp_path) is None
    (tmp_path / FACTS_NAME).write_text(json.dumps({}))
    assert read_facts(tmp_path) == RunFacts()
