"""Retrieval measures against loops, closed forms, and encoders that have learnt nothing."""

from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.evaluation.measures import retrieval
from hf_unlab.evaluation.measures.retrieval import (
    RetrievalRecall,
    rank_matches,
    recall_at,
    zero_shot_accuracy,
)


def unit(num: int, width: int, seed: int) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(num, width))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def naive_recall(query_ND, gallery_MD, query_ids, gallery_ids, k: int) -> float:
    """By sorting; for features without ties."""
    hits = 0
    for query, wanted in zip(query_ND, query_ids, strict=True):
        nearest = np.argsort(-(gallery_MD @ query))[:k]
        hits += any(gallery_ids[i] == wanted for i in nearest)
    return hits / len(query_ND)


@pytest.mark.parametrize("max_similarities", [1, 7 * 60, 2**23])
def test_equals_sorting_whatever_the_chunk(max_similarities: int, monkeypatch) -> None:
    monkeypatch.setattr(retrieval, "MAX_SIMILARITIES", max_similarities)
    image, text = unit(60, 8, 0), unit(60, 8, 0) + 0.7 * unit(60, 8, 1)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    ids = np.arange(60)
    got = recall_at(image, text, ks=(1, 5, 10))
    assert set(got) == {f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    for k in (1, 5, 10):
        assert got[f"image_to_text_R@{k}"] == pytest.approx(naive_recall(image, text, ids, ids, k))
        assert got[f"text_to_image_R@{k}"] == pytest.approx(naive_recall(text, image, ids, ids, k))
    assert 0.1 < got["image_to_text_R@1"] < 0.99


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_equal_captions_are_one_candidate_and_right_for_each_image(seed: int, num_captions: int) -> None:
    ids = np.random.default_rng(seed).integers(0, num_captions, size=20)
    of_caption = unit(num_captions, 6, seed + 1)
    image, text = unit(20, 6, seed) + of_caption[ids], of_caption[ids]
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    present = np.unique(ids)
    for captions in (ids, [f"caption {i}" for i in ids]):
        got = recall_at(image, text, (1, 3), captions)
        for k in (1, 3):
            to_text = naive_recall(image, of_caption[present], ids, present, k)
            to_image = naive_recall(of_caption[present], image, present, ids, k)
            assert got[f"image_to_text_R@{k}"] == pytest.approx(to_text)
            assert got[f"text_to_image_R@{k}"] == pytest.approx(to_image)


def test_several_captions_an_image() -> None:
    image, text = unit(10, 5, 0), unit(50, 5, 1)
    image_ids, text_ids = np.arange(10), np.repeat(np.arange(10), 5)
    ranks = rank_matches(image, text, image_ids, text_ids)
    for k in (1, 4):
        assert ranks.recall_at(k) == pytest.approx(naive_recall(image, text, image_ids, text_ids, k))


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_a_constant_encoder_scores_chance(noise: float) -> None:
    constant = np.ones((40, 512)) / np.sqrt(512) + noise * unit(40, 512, 0)
    for features in (constant, torch.tensor(constant, dtype=torch.bfloat16), np.zeros((40, 3))):
        for value, k in zip(recall_at(features, features).values(), (1, 5, 10) * 2, strict=True):
            assert value == pytest.approx(k / 40)
    # of 40 images 8 belong to each of 5 captions: k texts of 5, or not only wrong ones among k images of 40
    got = recall_at(constant, constant, (1, 3), [i % 5 for i in range(40)])
    assert got["image_to_text_R@3"] == pytest.approx(3 / 5)
    assert got["text_to_image_R@3"] == pytest.approx(1 - comb(32, 3) / comb(40, 3))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_ties_are_the_mean_over_shuffles(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    query, gallery = np.eye(3)[rng.integers(0, 3, 4)], np.eye(3)[rng.integers(0, 3, 6)]
    gallery_ids = rng.integers(0, 2, 6)
    gallery_ids[:2] = 0, 1
    query_ids = rng.integers(0, 2, 4)
    expected = []
    for q, wanted in zip(query, query_ids, strict=True):
        similarity, right = gallery @ q, gallery_ids == wanted
        hits = 0
        for _ in range(400):
            hits += right[np.lexsort((rng.random(6), -similarity))[:k]].any()
        expected.append(hits / 400)
    assert rank_matches(query, gallery, query_ids, gallery_ids).recall_at(k) == pytest.approx(
        np.mean(expected), abs=0.08
    )


def test_perfect_and_worst() -> None:
    image = unit(30, 16, 0)
    assert set(recall_at(image, 3 * image).values()) == {1.0}  # only the direction counts
    assert recall_at(image, -image, (29,))["image_to_text_R@29"] == 0.0
    assert recall_at(image, -image, (30, 99))["image_to_text_R@99"] == 1.0


def test_half_precision_tensors_and_gradients_are_taken() -> None:
    image = torch.tensor(unit(20, 16, 0), dtype=torch.bfloat16, requires_grad=True)
    assert recall_at(image, image.detach().float())["text_to_image_R@1"] == 1.0


def test_module_in_batches_equals_the_function() -> None:
    image, text, captions = unit(12, 4, 0), unit(12, 4, 1), [f"c{i % 7}" for i in range(12)]
    text = text[[i % 7 for i in range(12)]]
    metric = RetrievalRecall(ks=(1, 2))
    for rows in (slice(0, 5), slice(5, 12)):
        metric.add_batch(image_features=image[rows], text_features=text[rows], captions=captions[rows])
    assert metric.compute() == pytest.approx(recall_at(image, text, (1, 2), captions))


def test_retrieval_errors() -> None:
    good = unit(4, 3, 0)
    with pytest.raises(ValueError, match="4 images, 3 texts"):
        recall_at(good, good[:3])
    with pytest.raises(ValueError, match="and 2 captions"):
        recall_at(good, good, captions=["a", "b"])
    with pytest.raises(ValueError, match="ks is"):
        recall_at(good, good, ks=(0, 1))
    with pytest.raises(ValueError, match="3 features and candidates 2"):
        recall_at(good, good[:, :2])
    with pytest.raises(ValueError, match="1 of 4 rows of candidate features"):
        recall_at(good, np.where(np.arange(4)[:, None] == 2, np.nan, good))
    with pytest.raises(ValueError, match="2 of 4 queries have no right"):
        rank_matches(good, good, [0, 1, 2, 3], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="not empty"):
        recall_at(good[:0], good[:0])


def test_zero_shot_accuracy() -> None:
    image, classes, labels = unit(50, 6, 0), unit(7, 6, 1), np.random.default_rng(2).integers(0, 7, 50)
    order = np.argsort(-image @ classes.T, axis=1)
    for k in (1, 3):
        expected = np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
        assert zero_shot_accuracy(image, torch.tensor(classes), labels, k) == pytest.approx(expected)
    assert zero_shot_accuracy(np.ones((50, 6)), np.ones((7, 6)), labels) == pytest.approx(1 / 7)
    with pytest.raises(ValueError, match="no right candidate"):
        zero_shot_accuracy(image, classes[:3], labels)
