"""From raw examples to views with the hash of their content."""

import numpy as np
import pytest
import torch

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.encoder import AudioEncoder
from hf_unlab.modalities.image.encoder import ImageEncoder
from hf_unlab.objectives.clusters.collator import HASH, HashedDecode, ViewCollator
from hf_unlab.objectives.clusters.targets import signed
from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.content import content_hash
from hf_unlab.streams.loader import Place
from tests.objectives.clusters.helpers import IMAGES, PROCESSOR, vit, wav2vec2

DECODE = HashedDecode(get_modality("image").make_decode(None, None), "image", is_file=True)


def test_the_hash_is_that_of_the_bytes_also_of_a_file_by_its_path(tmp_path):
    row = IMAGES[0]
    (tmp_path / "one.png").write_bytes(row["image"]["bytes"])
    decoded, by_path = DECODE(row), DECODE({**row, "image": str(tmp_path / "one.png")})
    assert decoded[HASH] == by_path[HASH] == signed(content_hash(row["image"]))
    assert decoded["image"].mode == "RGB" and decoded["speaker"] == "a"


def test_what_cannot_be_told_apart_is_bad():
    with pytest.raises(BadExample, match="missing"):
        DECODE({"image": None})
    with pytest.raises(BadExample, match="no bytes to tell it by"):
        HashedDecode(None, "image", is_file=True)({"image": 7})


def test_views_are_the_encoders_batch_and_evaluation_has_the_examples_themselves():
    encoder = ImageEncoder.of_model(vit(), PROCESSOR)
    examples = [DECODE(row) for row in IMAGES[:5]]
    whole = ViewCollator("image", encoder)(examples, Place(0))
    expected = encoder.collate([example["image"] for example in examples])
    assert torch.equal(whole["inputs"]["pixel_values"], expected["pixel_values"])
    assert whole["hashes"].tolist() == [example[HASH] for example in examples] and whole["num_items"] == 5

    def darker(image, rng):
        return image.point(lambda value: value * (0.5 + 0.1 * rng.random()))

    batches = [ViewCollator("image", encoder, darker, seed=3)(examples, Place(k)) for k in (1, 1, 2)]
    pixels = [batch["inputs"]["pixel_values"] for batch in batches]
    assert torch.equal(pixels[0], pixels[1]) and not torch.equal(pixels[0], pixels[2])
    assert pixels[0].mean() < expected["pixel_values"].mean()


def test_clips_are_cut_to_the_shortest_where_padding_would_be_seen():
    for norm, num_samples in (("layer", 3000), ("group", 2000)):
        encoder = AudioEncoder.of_model(*wav2vec2(feat_extract_norm=norm))
        examples = [{"audio": np.sin(np.arange(length)), HASH: length} for length in (3000, 2000)]
        batch = ViewCollator("audio", encoder)(examples, Place(0))
        assert batch["inputs"]["input_values"].shape == (2, num_samples)
