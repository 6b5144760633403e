"""Batches of pairs: what is drawn depends on (seed, k) alone, and in evaluation nothing is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_unlab.modalities.image.reading import decode_image
from hf_unlab.objectives.image_text.collator import ImageTextCollator
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_dual_encoder, tiny_pairs

MODEL = tiny_dual_encoder()
TRAIN = ImageTextCollator(MODEL.preprocessing.train_transform((0.3, 1.0), 0.5), MODEL.tokenize, seed=3)
EVAL = ImageTextCollator(MODEL.preprocessing.eval_transform(), MODEL.tokenize)


def pairs(num_pairs=6, texts=None):
    rows = list(tiny_pairs(num_pairs))
    for row, text in zip(rows, texts or [row["text"] for row in rows], strict=True):
        row |= {"image": decode_image(row["image"]), "text": text}
    return rows


def test_a_training_batch_has_the_shapes_that_the_model_takes():
    batch = TRAIN(pairs(), Place(2))
    assert batch.keys() - {"attention_mask"} == {"pixel_values", "input_ids", "num_items"}
    assert batch["pixel_values"].shape == (6, 3, 16, 16) and batch["pixel_values"].dtype == torch.float32
    assert len(batch["input_ids"]) == 6 and batch["input_ids"].dtype == torch.int64
    assert batch["num_items"].shape == () and batch["num_items"] == 6


def test_crops_depend_on_seed_and_k_alone():
    one = TRAIN(pairs(), Place(2, step=0))["pixel_values"]
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(TRAIN(pairs(), Place(2, step=9))["pixel_values"], one)
    assert not torch.equal(TRAIN(pairs(), Place(3))["pixel_values"], one)
    for k in (1, 2):  # 4 + 1 is 3 + 2: the sum of both would not do
        assert not torch.equal(replace(TRAIN, seed=4)(pairs(), Place(k))["pixel_values"], one)


def test_each_caption_of_several_is_drawn_now_and_then_and_none_that_is_empty():
    texts = [["a red square", "", "a blue one, and the caption is longer"]] * 6
    lengths = [TRAIN(pairs(texts=texts), Place(k))["attention_mask"].sum(1).tolist() for k in range(5)]
    assert len({length for batch in lengths for length in batch}) == 2


def test_in_evaluation_the_first_caption_is_taken_whatever_the_place():
    texts = ["same", ["same", "other"], ["other", "same"], ["", "same"], "other", "Same"]
    one, other = (EVAL(pairs(texts=texts), Place(k)) for k in (0, 5))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    ids = one["caption_ids"].tolist()
    assert [ids.index(number) for number in ids] == [0, 0, 2, 0, 2, 5]  # equal where the captions are
    assert one["caption_ids"].dtype == torch.int64 and min(ids) >= 0


@pytest.mark.parametrize("collate", [TRAIN, EVAL])
def test_half_a_character_is_read(collate):
    texts = [f"a square \ud800 {number}" for number in range(6)]
    assert len(collate(pairs(texts=texts), Place(0))["input_ids"]) == 6
