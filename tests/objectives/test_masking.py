"""Masks have the shares they promise, spare special tokens, and depend on (seed, k) alone."""

import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_unlab.objectives.masked_lm.collator import IGNORED, MaskedLMCollator, mask_tokens
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_tokenizer

VOCAB_SIZE, MASK = 500, 4
SPECIAL = np.arange(5)  # the mask token among them


def masked(shape=(400, 300), seed=0, k=0, special_ids=SPECIAL, **shares):
    """Random ids that include special ones, what becomes of them, and the labels."""
    ids = np.random.default_rng(99).integers(0, VOCAB_SIZE, size=shape)
    shares = {"probability": 0.3, **shares}
    rng = np.random.default_rng((seed, k))
    corrupted, labels = mask_tokens(
        ids, mask_token_id=MASK, special_ids=special_ids, vocab_size=VOCAB_SIZE, rng=rng, **shares
    )
    return ids, corrupted.numpy(), labels.numpy()


def assert_share(num_hits, num_trials, share):
    """Within five standard deviations of a binomial draw: fails by chance once in two million."""
    assert abs(num_hits - num_trials * share) <= 5 * np.sqrt(num_trials * share * (1 - share))


@pytest.mark.parametrize("probability", [0.15, 0.3, 0.9])
@pytest.mark.parametrize("mask_share, random_share", [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.0), (0.0, 0.0)])
def test_shares_are_those_that_were_asked_for(probability, mask_share, random_share):
    ids, corrupted, labels = masked(probability=probability, mask_share=mask_share, random_share=random_share)
    chosen = labels != IGNORED
    num_ordinary = (~np.isin(ids, SPECIAL)).sum()
    assert num_ordinary > 100_000
    assert_share(chosen.sum(), num_ordinary, probability)
    became_mask = chosen & (corrupted == MASK)
    became_another = chosen & ~became_mask & (corrupted != ids)
    assert_share(became_mask.sum(), chosen.sum(), mask_share)
    num_ordinary_ids = VOCAB_SIZE - len(SPECIAL)  # a random token is the original one now and then
    assert_share(became_another.sum(), chosen.sum(), random_share * (1 - 1 / num_ordinary_ids))


def test_random_tokens_are_uniform_over_the_ordinary_ones():
    _, corrupted, labels = masked(probability=0.9, mask_share=0.0, random_share=1.0)
    drawn = corrupted[labels != IGNORED]
    counts = np.bincount(drawn, minlength=VOCAB_SIZE)
    assert (counts[: len(SPECIAL)] == 0).all()
    expected = len(drawn) / (VOCAB_SIZE - len(SPECIAL))
    assert np.abs(counts[len(SPECIAL) :] - expected).max() < 6 * np.sqrt(expected)


def test_special_tokens_are_never_chosen_and_never_inserted():
    special = np.array([0, 7, 250, VOCAB_SIZE - 1, MASK])  # not side by side
    ids, corrupted, labels = masked(special_ids=special, probability=0.9, mask_share=0.3, random_share=0.7)
    is_special = np.isin(ids, special)
    assert is_special.any()
    assert (labels[is_special] == IGNORED).all()
    assert (corrupted[is_special] == ids[is_special]).all()
    inserted = corrupted[corrupted != ids]
    assert set(inserted[np.isin(inserted, special)]) == {MASK}


def test_labels_are_the_originals_where_chosen_and_nothing_else_changes():
    ids, corrupted, labels = masked()
    chosen = labels != IGNORED
    assert (labels[chosen] == ids[chosen]).all()
    assert (corrupted[~chosen] == ids[~chosen]).all()


def test_the_same_seed_and_k_give_the_same_masks_and_others_give_others():
    masks = {place: masked(seed=place[0], k=place[1])[1:] for place in [(0, 0), (0, 1), (1, 0), (1, 1)]}
    for place, (corrupted, labels) in masks.items():
        again = masked(seed=place[0], k=place[1])[1:]
        assert (corrupted == again[0]).all() and (labels == again[1]).all()
    assert len({corrupted.tobytes() for corrupted, _ in masks.values()}) == 4
    assert len({labels.tobytes() for _, labels in masks.values()}) == 4


def test_masks_of_neighbouring_batches_are_independent():
    first, second = (masked(Place(k))[2] != IGNORED for k in (0, 1))
    assert_share((first & second).sum(), first.size * (1 - len(SPECIAL) / VOCAB_SIZE), 0.09)


@pytest.mark.parametrize(
    "shares, message",
    [
        ({"probability": 0.0}, "between 0 and 1, not 0.0"),
        ({"probability": 1.0}, "between 0 and 1, not 1.0"),
        ({"probability": -0.1}, "between 0 and 1, not -0.1"),
        ({"probability": 30}, "between 0 and 1, not 30"),
        ({"probability": float("nan")}, "between 0 and 1, not nan"),
        ({"mask_share": 0.8, "random_share": 0.3}, "mask_share=0.8 and random_share=0.3 must"),
        ({"mask_share": -0.1}, "mask_share=-0.1"),
        ({"random_share": -0.1}, "random_share=-0.1"),
        ({"random_share": float("nan")}, "random_share=nan"),
    ],
)
def test_shares_that_are_none_are_refused_here_and_when_the_collator_is_made(shares, message):
    with pytest.raises(ValueError, match=message):
        masked(shape=(2, 3), **shares)
    with pytest.raises(ValueError, match=message):
        MaskedLMCollator(tiny_tokenizer(), **shares)


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
    assert batch.keys() == {"input_ids", "labels", "document_ids", "num_items"}
    for key in ("input_ids", "labels", "document_ids"):
        assert batch[key].shape == (6, 40) and batch[key].dtype == torch.int64
    assert batch["num_items"].shape == () and batch["num_items"] == (batch["labels"] != IGNORED).sum() > 0
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
