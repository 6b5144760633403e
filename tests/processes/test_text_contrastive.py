"""The recipe of texts' vectors in real processes: two train as one, and a killed run is the uninterrupted one."""

import json

import pytest
import torch

from hf_unlab.modalities.text.sentence_models import TransformerModel
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_tokenizer
from tests.processes.launching import (
    TEXT_CONTRASTIVE,
    fork_two,
    in_two_processes,
    kill,
    logged,
    pretrain,
    text_contrastive_arguments,
    wait_for,
    write_texts,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.jsonl")


def saved_model(folder, dropout=None, has_head=False):
    """Of a transformer, which has a dropout, or a table."""
    torch.manual_seed(0)
    bert = tiny_bert(hidden_dropout_prob=dropout or 0.0)
    bert = bert if has_head else bert.base_model
    model = tiny_static_model() if dropout is None else TransformerModel(bert, tiny_tokenizer(), max_length=16)
    model.save_pretrained(folder)
    return folder


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, texts):
    """With dropout, drawn views, and two micro-batches a process in a step."""
    whole, cut, model = tmp_path / "whole", tmp_path / "cut", saved_model(tmp_path / "model", 0.1)
    in_two_processes(pretrain, text_contrastive_arguments(whole, texts, model), TEXT_CONTRASTIVE)
    ranks = fork_two(pretrain, text_contrastive_arguments(cut, texts, model), TEXT_CONTRASTIVE).processes
    try:
        wait_for(cut / "checkpoint-20" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (cut / "checkpoint-60").exists()  # killed halfway, not after the end
    resumed = text_contrastive_arguments(cut, texts, model, resume_from_checkpoint="auto")
    in_two_processes(pretrain, resumed, TEXT_CONTRASTIVE)
    assert logged(cut, 60) == logged(whole, 60) and len(logged(whole, 60)) == 10
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("dropout, weight", [(None, 0), (0.0, 0), (0.0, 0.5)])
def test_processes_and_micro_batches_do_not_change_the_loss(tmp_path, texts, dropout, weight):
    """The documents of a step are one batch, whatever it is cut into: also what is left out of the negatives.

    And the masked tokens of a step, of which each micro-batch has another number.
    """
    model = saved_model(tmp_path / "model", dropout, has_head=weight > 0)
    settings = {"max_steps": 12, "save_steps": 12, "logging_steps": 3, "dataloader_num_workers": 0}
    settings |= {"matryoshka_dims": 4, "false_negative_margin": 0.1, "learning_rate": 1e-3, "masked_lm_weight": weight}

    def given(name, accumulation):
        more = {"gradient_accumulation_steps": accumulation, **settings}
        return text_contrastive_arguments(tmp_path / name, texts, model, **more)

    in_two_processes(pretrain, given("two", 2), TEXT_CONTRASTIVE)
    in_two_processes(pretrain, given("two, uncached", 1), TEXT_CONTRASTIVE)
    pretrain(given("one", 4), TEXT_CONTRASTIVE)
    two, one, uncached = (logged(tmp_path / name, 12) for name in ("two", "one", "two, uncached"))
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    evaluations = [json.loads((tmp_path / name / "eval_results.json").read_text()) for name in ("two", "one")]
    for name in ("eval_loss", "eval_contrastive_accuracy"):
        assert evaluations[0][name] == pytest.approx(evaluations[1][name], rel=1e-3), name
    assert uncached[0]["loss"] < two[0]["loss"]  # half the batch is an easier question
