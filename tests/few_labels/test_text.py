"""Fine-tuning as a candidate: it learns, repeats itself, stays quiet and leaves the process as it was."""

import os
import random

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, BertConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from hf_unlab.few_labels.draws import draw_few
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.text import finetune_text_classifier, from_checkpoint, from_scratch

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=16,
)
LABELS, TEST_LABELS = np.repeat(np.arange(3), 12), np.tile(np.arange(3), 20)


def texts_of(labels: np.ndarray, seed: int) -> list[str]:
    """Words w0..w9 in class 0, w10..w19 in class 1, w20..w29 in class 2: a bag of words tells them apart."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{10 * label + i}" for i in rng.integers(0, 10, rng.integers(2, 9))) for label in labels]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *(f"w{i}" for i in range(30))])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


def candidate(tokenizer: PreTrainedTokenizerFast, make_model=None, **settings):
    return finetune_text_classifier(
        "from scratch",
        make_model or from_scratch(CONFIG),
        tokenizer,
        texts_of(LABELS, 0),
        LABELS,
        texts_of(TEST_LABELS, 1),
        use_cpu=True,
        **settings,
    )


def test_learns_repeats_and_differs_by_seed(tokenizer) -> None:
    fit = candidate(tokenizer, num_steps=40, learning_rate=5e-3)
    indices = draw_few(LABELS, 10, 0)
    predictions = fit.predict(indices, 0)
    assert predictions.shape == TEST_LABELS.shape
    assert (predictions == TEST_LABELS).mean() > 0.95
    np.testing.assert_array_equal(fit.predict(indices, 0), predictions)
    short = candidate(tokenizer, num_steps=1)
    assert (short.predict(indices, 0) != short.predict(indices, 1)).any()


def test_is_quiet_and_writes_nothing(tokenizer, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    with alone_and_quiet():
        AutoModel.from_config(CONFIG).save_pretrained(tmp_path / "checkpoint")
    before = sorted(tmp_path.rglob("*"))
    capfd.readouterr()
    candidate(tokenizer, from_checkpoint(tmp_path / "checkpoint"), num_steps=2).predict(draw_few(LABELS, 2, 0), 0)
    assert capfd.readouterr() == ("", "")
    assert sorted(tmp_path.rglob("*")) == before


def test_pretrained_weights_are_used_and_only_the_head_is_new(tmp_path) -> None:
    with alone_and_quiet():
        pretrained = AutoModel.from_config(CONFIG)
        pretrained.save_pretrained(tmp_path)
        made = [from_checkpoint(tmp_path)(3, seed) for seed in (0, 0, 1)]
        scratch = [from_scratch(CONFIG)(3, seed) for seed in (0, 0, 1)]
    word = "embeddings.word_embeddings.weight"
    for model in made:
        torch.testing.assert_close(model.base_model.state_dict()[word], pretrained.state_dict()[word])
    for first, again, other in (made, scratch):
        torch.testing.assert_close(first.classifier.weight, again.classifier.weight)
        assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert not torch.equal(scratch[0].base_model.state_dict()[word], scratch[2].base_model.state_dict()[word])
    assert scratch[0].num_labels == 3
    assert CONFIG.num_labels == 2


def test_leaves_the_process_as_it_was(tokenizer, monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with alone_and_quiet():  # so that this test's own accelerator is gone afterwards, too
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        state, verbosity = dict(AcceleratorState._shared_state), transformers_logging.get_verbosity()
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        expected = random.random(), np.random.rand(), torch.rand(1).item()
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        environment = dict(os.environ)
        candidate(tokenizer, num_steps=1).predict(draw_few(LABELS, 1, 0), 0)
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
        assert AcceleratorState._shared_state == state
        assert accelerator.mixed_precision == "bf16"
        assert dict(os.environ) == environment
        assert transformers_logging.get_verbosity() == verbosity


def test_runs_alone_where_a_launcher_promised_company(tokenizer, monkeypatch) -> None:
    # Without isolation, making TrainingArguments would wait here for a second process that never comes.
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    candidate(tokenizer, num_steps=1).predict(draw_few(LABELS, 1, 0), 0)
    assert not torch.distributed.is_initialized()
    assert os.environ["WORLD_SIZE"] == "2"


def test_errors(tokenizer) -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3"):
        finetune_text_classifier("x", from_scratch(CONFIG), tokenizer, ["a"] * 3, np.array([0, 1]), ["b"])
    with pytest.raises(ValueError, match="num_steps is 0"):
        candidate(tokenizer, num_steps=0)
