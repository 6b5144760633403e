"""Masked batches depend on (seed, k) alone, in any process."""

import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from hf_unlab.modalities.text.masking import IGNORED
from hf_unlab.objectives.masked_lm.collator import MaskedLMCollator
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_tokenizer


def examples_of(num_examples=6, length=40):
    rng = np.random.default_rng(5)
    return [
        {"input_ids": rng.integers(0, 300, size=length), "document_ids": np.arange(length) // 9}
        for _ in range(num_examples)
    ]


@pytest.fixture(scope="module")
def collator():
    return MaskedLMCollator(tiny_tokenizer(), seed=3)


def assert_equal_batches(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_batch_has_the_shapes_and_counts_that_the_trainer_needs(collator):
    examples = examples_of()
    batch = collator(examples, Place(7))
    assert batch.keys() == {"input_ids", "labels", "document_ids", "positions", "num_items"}
    for key in ("input_ids", "labels", "document_ids"):
        assert batch[key].shape == (6, 40) and batch[key].dtype == torch.int64
    assert batch["num_items"].shape == () and batch["num_items"] == (batch["labels"] != IGNORED).sum() > 0
    assert torch.equal(batch["labels"].flatten()[batch["positions"]], batch["labels"][batch["labels"] != IGNORED])
    assert batch["document_ids"][2].tolist() == examples[2]["document_ids"].tolist()
    originals = torch.tensor(np.stack([example["input_ids"] for example in examples]))
    assert torch.equal(torch.where(batch["labels"] == IGNORED, originals, batch["labels"]), originals)


def test_no_label_is_a_special_token(collator):
    labels = collator(examples_of(100), Place(0))["labels"]
    assert not set(labels.unique().tolist()) & set(collator.tokenizer.all_special_ids)


def test_a_batch_depends_on_seed_and_k_and_leaves_global_randomness_alone(collator):
    examples = examples_of()
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    batch = collator(examples, Place(7))
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state
    np.random.seed(1)
    torch.manual_seed(1)
    assert_equal_batches(collator(examples, Place(7)), batch)
    assert not torch.equal(collator(examples, Place(8))["labels"], batch["labels"])
    for k in (6, 7):  # 4 + 6 is 3 + 7: the sum of both would not do
        assert not torch.equal(replace(collator, seed=4)(examples, Place(k))["labels"], batch["labels"])


def test_a_pickled_collator_makes_the_same_batch(collator):
    copy = pickle.loads(pickle.dumps(collator))
    assert_equal_batches(copy(examples_of(), Place(2)), collator(examples_of(), Place(2)))


def put_labels(collator, k, queue):
    queue.put(collator(examples_of(), Place(k))["labels"].tolist())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads; this child has none
def test_another_process_makes_the_same_batch(collator):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=put_labels, args=(collator, 11, queue))
    process.start()
    process.join()
    assert process.exitcode == 0  # else nothing was put, and to wait for it would take for ever
    labels = queue.get()
    assert labels == collator(examples_of(), Place(11))["labels"].tolist()


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"no mask token.*add_special_tokens"):
        MaskedLMCollator(tokenizer)


@pytest.mark.parametrize("shares", [{"probability": 30}, {"mask_share": 0.8, "random_share": 0.3}])
def test_shares_that_are_none_are_refused_when_it_is_made(shares):
    with pytest.raises(ValueError, match=f"{next(iter(shares))}|between 0 and 1"):
        MaskedLMCollator(tiny_tokenizer(), **shares)


def with_gaps(*ids):
    """A tokenizer of five special tokens and words, whose ids leave numbers out."""
    words = {f"word{i}": i for i in ids}
    vocabulary = {token: i for i, token in enumerate(["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"])} | words
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]")), **names
    )


def test_random_tokens_are_tokens_where_ids_leave_numbers_out():
    ids = [7, 40, 41, 90]
    tokenizer = with_gaps(*ids)
    assert len(tokenizer) == 9
    collator = MaskedLMCollator(tokenizer, probability=0.9, mask_share=0.0, random_share=1.0)
    rows = [{"input_ids": np.full(500, 40), "document_ids": np.zeros(500, dtype=np.int64)}]
    batch = collator(rows, Place(0))
    assert set(batch["input_ids"].unique().tolist()) == set(ids)


def test_the_vocabulary_is_gone_through_once(monkeypatch):
    collator, calls = MaskedLMCollator(tiny_tokenizer(), seed=3), []
    monkeypatch.setattr(np, "setdiff1d", lambda *args: calls.append(args))
    monkeypatch.setattr(type(collator.tokenizer), "get_vocab", lambda self: calls.append(self))
    for k in range(3):
        collator(examples_of(), Place(k))
        pickle.loads(pickle.dumps(collator))(examples_of(), Place(k))  # as a worker gets it
    assert calls == []


def test_a_tokenizer_of_special_tokens_alone_is_refused():
    with pytest.raises(ValueError, match="has special tokens and no other"):
        MaskedLMCollator(with_gaps())
