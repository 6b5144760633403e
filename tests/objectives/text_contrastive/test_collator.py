"""From documents to batches of views: what is remembered changes nothing, and the seed and the number draw."""

import pickle

import numpy as np
import pytest
import torch

from hf_unlab.modalities.text import tokens as token_ids
from hf_unlab.modalities.text.masking import IGNORED, token_masks
from hf_unlab.modalities.text.tokens import FramedTokens, StaticTokens
from hf_unlab.modalities.text.words import train_word_tokenizer
from hf_unlab.objectives.text_contrastive.collator import PAIR, TEXT, TRIPLET, TokeniseDocuments, ViewCollator
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_texts

TEXTS = tiny_texts(60)
TOKENIZER = train_word_tokenizer(TEXTS)
STATIC = StaticTokens(TOKENIZER)
KINDS = pytest.mark.parametrize("tokens", [STATIC, FramedTokens(TOKENIZER, 6)])


def rows(texts=TEXTS):
    return [{"text": text} for text in texts]


def triplets(num=5):
    return [{"anchor": TEXTS[i], "positive": TEXTS[i + 10], "negative": TEXTS[i + 20]} for i in range(num)]


def same_examples(one, other):
    pairs = zip(one, other, strict=True)
    return all(a["content_ids"] == b["content_ids"] and equal(a["ids"], b["ids"]) for a, b in pairs)


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def views_of(batch):
    """Of a static batch, the token ids of each view."""
    return np.split(batch["input_ids"].numpy(), batch["offsets"].numpy()[1:])


def test_what_is_remembered_changes_nothing():
    prepare = TokeniseDocuments(STATIC, TEXT)
    first = prepare(rows(), 0)
    assert same_examples(prepare(rows(), 60), first)
    assert same_examples(TokeniseDocuments(STATIC, TEXT)(rows(), 0), first)
    assert equal([ids for example in first for ids in example["ids"]], STATIC.ids_of(TEXTS))


def test_it_is_tokenised_once(monkeypatch):
    asked, ids_of = [], StaticTokens.ids_of
    monkeypatch.setattr(StaticTokens, "ids_of", lambda self, texts: asked.extend(texts) or ids_of(self, texts))
    prepare = TokeniseDocuments(STATIC, TEXT)
    for _ in range(2):
        prepare(rows([*TEXTS[:5], TEXTS[0]]), 0)
    assert asked == TEXTS[:5]


def test_what_is_too_much_to_remember_is_forgotten(monkeypatch):
    monkeypatch.setattr(token_ids, "MAX_REMEMBERED", 100)
    prepare, whole = TokeniseDocuments(STATIC, TEXT), TokeniseDocuments(STATIC, TEXT)(rows(), 0)
    for start in range(0, 60, 10):
        block = rows(TEXTS[max(0, start - 5) : start + 10])  # half of the block before, remembered
        assert same_examples(prepare(block, 0), whole[max(0, start - 5) : start + 10])
    assert len(prepare._known) < 40


def test_it_travels_without_what_it_remembers():
    prepare = TokeniseDocuments(STATIC, TEXT)
    before = len(pickle.dumps(prepare))
    examples = prepare(rows(), 0)
    assert len(pickle.dumps(prepare)) == before
    assert same_examples(pickle.loads(pickle.dumps(prepare))(rows(), 0), examples)


def test_contents_are_told_apart_as_held_out_ones_are():
    """A copy of other case or spaces is the same document."""
    first, copy, other = TokeniseDocuments(STATIC, TEXT)(rows(["A  river ", "a river", "a stone"]), 0)
    assert first["content_ids"] == copy["content_ids"] != other["content_ids"]
    assert all(0 <= example["content_ids"][0] < 2**63 for example in (first, other))


def test_of_pairs_both_are_contents_and_of_triplets_the_negative_is_one_of_its_own():
    pairs = TokeniseDocuments(STATIC, PAIR)(triplets(), 0)
    whole = TokeniseDocuments(STATIC, TRIPLET)(triplets(), 0)
    assert [len(example["ids"]) for example in (pairs[0], whole[0])] == [2, 3]
    assert [example["content_ids"][:2] for example in whole] == [example["content_ids"] for example in pairs]
    assert len(set(whole[0]["content_ids"])) == 3
    singly = TokeniseDocuments(STATIC, TEXT)(rows([TEXTS[0], TEXTS[10]]), 0)
    assert pairs[0]["content_ids"] == [example["content_ids"][0] for example in singly]


@KINDS
def test_first_views_come_first_then_second_ones(tokens):
    examples = TokeniseDocuments(tokens, TEXT)(rows(TEXTS[:4]), 0)
    batch = ViewCollator(tokens, ("words",), 64)(examples, Place(0))
    assert batch["num_items"] == 4 and batch["content_ids"].shape == (4, 1)
    assert batch["content_ids"].flatten().tolist() == [example["content_ids"][0] for example in examples]
    if tokens is STATIC:
        views = views_of(batch)
        for number, example in enumerate(examples):
            assert sorted([*views[number], *views[number + 4]]) == sorted(example["ids"][0])
    else:  # six tokens of each, between the special ones
        assert batch["input_ids"].shape == batch["attention_mask"].shape == (8, 8)
        assert (batch["input_ids"][:, 0] == TOKENIZER.cls_token_id).all()


def test_pairs_and_triplets_are_taken_as_they_are_up_to_the_length():
    examples = TokeniseDocuments(STATIC, TRIPLET)(triplets(), 0)
    views = views_of(ViewCollator(STATIC, ("halves",), 7)(examples, Place(0)))
    expected = [example["ids"][column][:7] for column in range(3) for example in examples]
    assert equal(views, expected) and len(views) == 15


@KINDS
def test_the_seed_and_the_number_of_the_batch_draw_alone(tokens):
    examples = TokeniseDocuments(tokens, TEXT)(rows(TEXTS[:8]), 0)

    def ids(seed, k):
        return ViewCollator(tokens, ("halves", "words"), 6, seed)(examples, Place(k))["input_ids"].tolist()

    first = ids(3, 5)
    assert ids(3, 5) == first and ids(3, 6) != first and ids(4, 5) != first


def test_each_kind_of_view_is_drawn():
    examples = TokeniseDocuments(STATIC, TEXT)(rows(), 0)
    batch = ViewCollator(STATIC, ("same", "halves"), 64)(examples, Place(0))
    views = views_of(batch)
    num_same = sum(np.array_equal(one, other) for one, other in zip(views[:60], views[60:], strict=True))
    assert 15 < num_same < 45


@KINDS
@pytest.mark.parametrize("text", ["", "!?", "river", "the river"])
@pytest.mark.parametrize("view", ["halves", "words", "crops", "same"])
def test_short_documents_make_a_batch(tokens, text, view):
    examples = [{"ids": tokens.ids_of([text]), "content_ids": [number]} for number in range(2)]
    batch = ViewCollator(tokens, (view,), 64)(examples, Place(0))
    assert batch["num_items"] == 2 and len(batch["content_ids"]) == 2
    rows_in_batch = batch["offsets"] if tokens is STATIC else batch["input_ids"]
    assert len(rows_in_batch) == 4


def test_what_is_too_short_for_two_views_is_left_out():
    prepare = TokeniseDocuments(STATIC, TEXT)
    assert [len(example["ids"][0]) for example in prepare(rows(["", "!?", "river", "the river"]), 0)] == [2]
    pair = [{"anchor": "river", "positive": positive} for positive in ("!?", "town")]
    assert len(TokeniseDocuments(STATIC, PAIR)(pair, 0)) == 1


@pytest.mark.parametrize("columns", [TEXT, TRIPLET])
def test_masked_views_are_the_unmasked_ones_but_for_what_is_to_be_predicted(columns):
    tokens = FramedTokens(TOKENIZER, 6)
    examples = TokeniseDocuments(tokens, columns)(rows() if columns == TEXT else triplets(40), 0)
    plain = ViewCollator(tokens, ("words",), 64, 3)(examples, Place(5))
    collate = ViewCollator(tokens, ("words",), 64, 3, token_masks(TOKENIZER, 0.3))
    masked = collate(examples, Place(5))
    labels = masked["labels"]
    assert masked.keys() - plain.keys() == {"labels", "positions", "num_masked"}
    same = plain.keys() - {"input_ids"}
    assert all(torch.equal(plain[name], masked[name]) for name in same)
    assert torch.equal(torch.where(labels == IGNORED, masked["input_ids"], labels), plain["input_ids"])
    assert masked["num_masked"] == len(masked["positions"]) == (labels != IGNORED).sum() > 0
    assert (labels.flatten()[masked["positions"]] != IGNORED).all()
    again, others = collate(examples, Place(5)), collate(examples, Place(6))
    assert torch.equal(again["labels"], labels) and torch.equal(again["input_ids"], masked["input_ids"])
    assert not torch.equal(others["labels"], labels)
