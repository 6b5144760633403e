"""card.py: cards that say what was measured, alike for all, valid for the Hub."""

import difflib
import json
import re

import pytest
from huggingface_hub import ModelCard

from hf_unlab.hub.card import CardSettings, is_ours, make_card, read_card, write_curves
from hf_unlab.hub.contents import contents_of
from hf_unlab.hub.facts import FACTS_NAME, RunFacts, read_facts
from hf_unlab.modalities import MODALITIES
from tests.hub.checkpoints import bert, clip, mel, static, vit

SETTINGS = CardSettings("apache-2.0", ("en", "de"), description="Of reviews.")


def card_of(folder, repo_id="me/reviews", settings=SETTINGS):
    return make_card(folder, contents_of(folder), repo_id, settings)


def test_a_card_says_what_is_known_and_nothing_else(trained):
    text = card_of(trained)
    card = ModelCard(text)
    assert card.data.license == "apache-2.0" and card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "fill-mask" and card.data.language == ["en", "de"]
    assert {"hf_unlab", "masked-lm"} <= set(card.data.tags) and not card.data.datasets
    assert [one.metric_value for one in card.data.eval_results] == [0.7, 0.8]
    facts = read_facts(trained)
    for said in (
        "# reviews",
        "Of reviews.",
        "BertForMaskedLM, 1 layer of width 16",
        "**With 50 it is behind TF-IDF.**",
        "| reviews.jsonl | - | cc0-1.0 | 100 % | 16 |",
        facts.objective,
        "4 steps of 4 examples",
        facts.sessions[0].commit,
        "estimated: seconds x" if "estimated" in facts.sessions[0].energy_how else "counters",
        "| sequence_length | 32 |",
        "in en, de",
    ):
        assert said in text, said
    assert "None" not in text and "Undefined" not in text and "{{" not in text
    assert is_ours(text) and not is_ours(text.replace("Of reviews.", "Of my reviews."))


def test_it_reads_as_markdown_without_gaps(trained):
    body = card_of(trained).split("---\n", 2)[2]
    assert "\n\n\n" not in body
    for table in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
        rows = [re.sub(r"\\\|", "", line).count("|") for line in table.splitlines()]
        assert len(set(rows)) == 1, table


SAVED = {"text": bert, "static": static, "image_text": clip, "audio": mel, "image": vit}


@pytest.fixture(scope="module")
def cards(tmp_path_factory, trained):
    made = {}
    for name, save in SAVED.items():
        folder = tmp_path_factory.mktemp(name)
        save(folder)
        for kept in (FACTS_NAME, "few_label.json"):
            (folder / kept).write_text((trained / kept).read_text())
        made[name] = card_of(folder, "me/model", CardSettings("mit"))
    return made


def test_every_modality_has_a_card_whose_lines_are_python(cards):
    assert MODALITIES.keys() <= SAVED.keys()
    for name, text in cards.items():
        assert ModelCard(text).data.license == "mit", name
        lines = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert len(lines) == 2, name
        for each in lines:
            compile(each, name, "exec")


def test_cards_of_one_family_share_all_that_does_not_differ(cards):
    """What differs between two cards is the line of the architecture, how to load it, and what it is for."""
    first = cards["text"].splitlines()
    for name, text in cards.items():
        other = text.splitlines()
        same = sum(block.size for block in difflib.SequenceMatcher(None, first, other, False).get_matching_blocks())
        assert same >= len(other) - 32, name
        titles = [line for line in other if line.startswith("#")]
        assert titles == [line for line in first if line.startswith("#")], name


def test_a_model_that_nobody_measured_says_so(tmp_path):
    static(tmp_path)
    text = card_of(tmp_path)
    assert "It has not been measured with labels" in text and "How it was trained" not in text
    assert "eval_results" not in text and ModelCard(text).data.pipeline_tag == "sentence-similarity"


def test_data_sets_of_the_hub_are_named(tmp_path):
    static(tmp_path)
    facts = {
        "sources": [
            {"name": "imdb", "path": "stanfordnlp/imdb", "revision": "e6281661"},
            {"name": "x", "path": "json"},
        ]
    }
    (tmp_path / FACTS_NAME).write_text(json.dumps(facts))
    text = card_of(tmp_path)
    assert ModelCard(text).data.datasets == ["stanfordnlp/imdb"] and "| imdb | e6281661 | not stated | 50 % |" in text


def test_another_licence_and_a_base(tmp_path):
    static(tmp_path)
    data = ModelCard(card_of(tmp_path, settings=CardSettings("other", base_model="me/base"))).data
    assert (data.license, data.license_link, data.base_model) == ("other", "LICENSE", "me/base")


def test_a_written_card_has_to_be_valid(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# My own\n")
    with pytest.raises(ValueError, match="names no licence"):
        read_card(path)
    path.write_text("---\nlicense: [\n---\n# My own\n")
    with pytest.raises(ValueError, match=r"metadata of .* cannot be read"):
        read_card(path)
    path.write_text("---\nlicense: mit\n---\n# My own\n")
    assert read_card(path).data.license == "mit"


def test_curves_are_drawn_where_there_are_any(trained, tmp_path):
    assert write_curves(trained, tmp_path / "training.png") and (tmp_path / "training.png").stat().st_size > 1000
    (tmp_path / FACTS_NAME).write_text(json.dumps({"history": [{"loss": 1.0, "step": 1}] * 2}))
    assert not write_curves(tmp_path, tmp_path / "none.png") and not (tmp_path / "none.png").exists()
    assert RunFacts().history == []
