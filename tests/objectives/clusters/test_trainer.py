"""Learning by clusters: what every objective owes, rounds, targets, and what is refused."""

import logging
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from hf_unlab.modalities.weights import load_weights
from hf_unlab.objectives.clusters import trainer as module
from hf_unlab.objectives.clusters.targets import Targets
from tests.objectives.clusters.helpers import (
    CLIPS,
    IMAGES,
    make_clips,
    make_images,
    resnet,
    stream,
    vit,
    wav2vec2,
)
from tests.objectives.template import ObjectiveTemplate, logged
from tests.training.helpers import At, stop

FIXED = {
    "cluster_sizes": [4, 5],
    "group_column": "speaker",
    "least_crop_area": 0.5,
    "flip_probability": 0.5,
    "jitter": 0.1,
    "max_seconds": 0.7,
    "least_crop_time": 0.5,
    "level_db": 1.0,
    "least_snr_db": 20.0,
}


class TestImages(ObjectiveTemplate):
    """Round 2 begins behind step 6, where one of the runs is cut."""

    fixed: ClassVar = FIXED
    column = "image"

    def make(self, folder, callbacks=None, rows=None, **settings):
        return make_images(folder, data=None if rows is None else stream(rows), callbacks=callbacks, **settings)

    def rows(self):
        return list(IMAGES)


class TestClips(ObjectiveTemplate):
    """By speaker."""

    cuts = ((6, (0, 2), 2),)
    fixed: ClassVar = {**FIXED, "group_column": None}
    column = "audio"

    def make(self, folder, callbacks=None, rows=None, **settings):
        data = None if rows is None else stream(rows)
        return make_clips(folder, data=data, callbacks=callbacks, **{"group_column": "speaker", **settings})

    def rows(self):
        return list(CLIPS)


class TestBatchNorm:
    cuts = ((6, (0, 0), 1),)
    pytest_generate_tests = ObjectiveTemplate.pytest_generate_tests
    test_resuming = ObjectiveTemplate.test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit

    def make(self, folder, callbacks=None, **settings):
        return make_images(folder, resnet(), callbacks=callbacks, **settings)
