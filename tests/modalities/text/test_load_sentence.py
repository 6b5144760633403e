"""From names and settings to models of one vector a text: static or not, from scratch or to go on from."""

import json
import logging

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.text.load_sentence import load_sentence_model, sentence_model_for
from hf_unlab.modalities.text.models import load_tokenizer
from hf_unlab.modalities.text.sentence_models import StaticModel, TransformerModel
from hf_unlab.modalities.text.settings import SentenceModelSettings
from hf_unlab.modalities.text.words import train_word_tokenizer
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_texts, tiny_tokenizer
from hf_unlab.training.alone import alone_and_quiet

TEXTS = tiny_texts(12)
SMALL = "hidden_size=4,num_hidden_layers=1,num_attention_heads=2,intermediate_size=8"


@pytest.fixture
def saved(tmp_path):
    """The folders of a static model and of a transformer whose first of 24 tokens is its vector."""
    torch.manual_seed(0)
    models = {
        "static": tiny_static_model(),
        "cls": TransformerModel(tiny_bert().base_model, tiny_tokenizer(), pooling="cls", max_length=24),
    }
    with alone_and_quiet():
        for name, model in models.items():
            model.save_pretrained(tmp_path / name)
    return models, tmp_path


def load(name, *given, **settings):
    with alone_and_quiet():
        return load_sentence_model(str(name), *given, **settings)


@pytest.mark.parametrize("name", ["static", "cls"])
def test_what_is_loaded_to_go_on_from_is_what_was_saved(saved, name):
    models, folder = saved
    model = load(folder / name)
    assert type(model) is type(models[name]) and model.training
    ours, theirs = (features_of(one.encoder(), TEXTS) for one in (model, models[name]))
    np.testing.assert_array_equal(ours, theirs)
    assert all(parameter.requires_grad for parameter in model.parameters())
    model.save_pretrained(folder / "again")
    again = features_of(load(folder / "again").encoder(), TEXTS)
    np.testing.assert_array_equal(again, theirs)


def test_pooling_and_length_are_the_checkpoints_unless_others_are_named(saved):
    folder = saved[1] / "cls"
    own, named = load(folder), load(folder, pooling="last", max_length=12)
    assert (own.pooling, own.max_length) == ("cls", 24)
    assert (named.pooling, named.max_length) == ("last", 12)
    with alone_and_quiet():
        tiny_bert().save_pretrained(folder.parent / "plain")
        tiny_tokenizer().save_pretrained(folder.parent / "plain")
    plain = load(folder.parent / "plain")
    assert (plain.pooling, plain.max_length) == ("mean", 128)


def test_a_table_from_scratch_is_drawn(caplog):
    torch.manual_seed(0)
    model = load("static", train_word_tokenizer(TEXTS), num_features=100)
    assert isinstance(model, StaticModel) and model.num_features == 100
    assert model.embedding.weight.std().item() == pytest.approx(0.1, rel=0.1)
    with pytest.raises(ValueError, match="needs a tokenizer: train_word_tokenizer makes one"):
        load("static")


def test_a_transformer_from_scratch_has_no_head(saved):
    made = load("tiny", tiny_tokenizer(), config_overrides=SMALL, max_length=32)
    assert (made.pooling, made.max_length, made.num_features) == ("mean", 32, 4)
    assert not hasattr(made.model, "decoder") and made.training
    again = load(saved[1] / "cls", from_scratch=True)
    assert again.num_features == 16 and again.pooling == "cls"
    one, other = (model.model.get_input_embeddings().weight for model in (again, saved[0]["cls"]))
    assert (one - other).abs().mean() > 1e-3
    again.save_pretrained(saved[1] / "scratch")
    with alone_and_quiet():
        again.load_weights(saved[1] / "scratch")  # as a resumed run does


@pytest.mark.parametrize("settings", [{"config_overrides": "hidden_size=8"}, {"initial_embeddings": "a"}])
def test_settings_for_scratch_are_refused_of_trained_weights(saved, settings):
    with pytest.raises(ValueError, match="are for models from scratch, not for"):
        load(saved[1] / "cls", **settings)


@pytest.mark.parametrize("width", [4, 8])
def test_embeddings_begin_as_the_tables(saved, width):
    """As near to one another as there, by the principal components where there are fewer features."""
    folder = saved[1] / "static"
    tokenizer, overrides = load_tokenizer(str(folder)), SMALL.replace("hidden_size=4", f"hidden_size={width}")
    torch.manual_seed(1)
    own = load("tiny", tokenizer, config_overrides=overrides).model.get_input_embeddings().weight
    torch.manual_seed(1)
    model = load("tiny", tokenizer, config_overrides=overrides, initial_embeddings=folder)
    found_VD = model.model.get_input_embeddings().weight.detach()
    table_VD = saved[0]["static"].embedding.weight.detach()
    table_VD = table_VD - table_VD.mean(dim=0)
    assert found_VD.std().item() == pytest.approx(own.std().item(), rel=1e-3)
    left, sizes, _ = torch.linalg.svd(table_VD, full_matrices=False)
    best_VV = (left[:, :width] * sizes[:width] ** 2) @ left[:, :width].T  # of all projections to so many features
    products_VV = found_VD @ found_VD.T
    scale = products_VV.trace() / best_VV.trace()
    torch.testing.assert_close(products_VV, best_VV * scale, atol=1e-5, rtol=1e-4)


def test_a_table_of_other_words_or_of_too_few_features_is_refused(saved):
    folder = saved[1] / "static"
    with pytest.raises(ValueError, match="another vocabulary than the tokenizer"):
        load("tiny", tiny_tokenizer(), config_overrides=SMALL, initial_embeddings=folder)
    wide = SMALL.replace("hidden_size=4", "hidden_size=16")
    with pytest.raises(ValueError, match="has 8 features, and the model wants 16: give config_overrides"):
        load("tiny", load_tokenizer(str(folder)), config_overrides=wide, initial_embeddings=folder)


def test_modules_that_cannot_be_run_are_refused(saved):
    path = saved[1] / "cls" / "modules.json"
    modules = json.loads(path.read_text())
    path.write_text(json.dumps([*modules, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(ValueError, match="Dense cannot be run here"):
        load(saved[1] / "cls")


def model_for(tmp_path, texts=TEXTS, checkpoint=None, columns=("text",), **settings):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(dict.fromkeys(columns, text)) + "\n" for text in texts))
    args = TrainingArguments(str(tmp_path / "run"), use_cpu=True, report_to="none")
    return sentence_model_for(SentenceModelSettings(**settings), [Source(str(path))], checkpoint, args, columns)


def test_a_static_run_trains_words_on_its_data_and_saves_them(tmp_path):
    model = model_for(tmp_path, columns=("anchor", "positive"), num_features=6)
    assert isinstance(model, StaticModel) and model.num_features == 6
    assert model.tokenizer.tokenize("The River!") == ["the", "river"]
    assert load_tokenizer(str(tmp_path / "run")).get_vocab() == model.tokenizer.get_vocab()


def test_a_transformer_trains_pieces_unless_words_are_asked_for(tmp_path):
    made = {"model": "tiny", "config_overrides": SMALL, "vocab_size": 300}
    assert model_for(tmp_path, **made).tokenizer.tokenize("Q") == ["Q"]
    assert model_for(tmp_path, tokenizer="words", **made).tokenizer.tokenize("Q") == ["[UNK]"]
    assert model_for(tmp_path, tokenizer="bpe", vocab_size=300).tokenizer.tokenize("Q") == ["Q"]


def test_a_resumed_run_and_named_tokenizers_read_no_data(saved, tmp_path):
    folder = saved[1] / "static"
    args = TrainingArguments(str(tmp_path / "run"), use_cpu=True, report_to="none")
    start = {"model": "tiny", "config_overrides": SMALL}
    for settings, checkpoint in (
        ({}, folder),
        ({"tokenizer": str(folder)}, None),
        ({"model": str(folder)}, None),
        ({**start, "initial_embeddings": str(folder)}, None),
    ):
        nowhere = [Source("/nowhere.txt")]
        model = sentence_model_for(SentenceModelSettings(**settings), nowhere, checkpoint, args)
        assert model.tokenizer.get_vocab() == saved[0]["static"].tokenizer.get_vocab()


def test_by_default_settings_leave_a_checkpoint_its_pooling_and_length(saved, tmp_path):
    own = model_for(tmp_path, model=str(saved[1] / "cls"))
    assert (own.pooling, own.max_length) == ("cls", 24)
    scratch = model_for(tmp_path, model="tiny", config_overrides=SMALL, vocab_size=300)
    assert (scratch.pooling, scratch.max_length) == ("mean", 128)


def test_many_unknown_words_are_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        model_for(tmp_path)
        assert caplog.messages == []
        model_for(tmp_path, texts=[f"the the 我喜欢河流{i} 他喜欢城市{i}" for i in range(20)])
    assert caplog.messages == [
        "50% of the words of these texts are unknown to the tokenizer of words, and nothing is learnt of them. If the "
        "language puts no spaces between words, take tokenizer=bpe; else raise vocab_size."
    ]


def test_a_transformer_keeps_its_head_where_it_is_asked_for(saved, caplog):
    """From scratch, from a checkpoint that has it, and a new one on top of one that has none."""
    made = load("tiny", tiny_tokenizer(), config_overrides=SMALL, with_head=True)
    made.save_pretrained(saved[1] / "with a head")
    again = load(saved[1] / "with a head", with_head=True)
    assert made.has_head and again.has_head and again.training
    weights = again.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in made.state_dict().items())
    assert not load(saved[1] / "with a head").has_head and caplog.messages == []
    new = load(saved[1] / "cls", with_head=True)
    assert new.has_head and new.pooling == "cls" and "drawn at random" in caplog.text


def test_a_table_starts_the_embeddings_below_a_head(saved):
    given = {"config_overrides": SMALL, "initial_embeddings": saved[1] / "static"}
    model = load("tiny", load_tokenizer(str(saved[1] / "static")), with_head=True, **given).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["static", "saved"])
def test_of_a_table_no_head_can_be_had(saved, name, tmp_path):
    name = name if name == "static" else str(saved[1] / "static")
    with pytest.raises(ValueError, match=r"is a static table, which has no head .*: take a transformer"):
        load(name, train_word_tokenizer(TEXTS), with_head=True)
    args = TrainingArguments(str(tmp_path / "run"), use_cpu=True, report_to="none")
    with pytest.raises(ValueError, match="is a static table, which has no head"):
        sentence_model_for(SentenceModelSettings(model=name), [Source("/nowhere.txt")], None, args, with_head=True)
