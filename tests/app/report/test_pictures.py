"""pictures.py: SVG that a page holds within itself."""

import base64

import numpy as np
import pytest

from hf_unlab.app.report.pictures import MOST_CURVES, budget_picture, curves_of, curves_picture, map_picture
from hf_unlab.evaluation.embedding_files import Embeddings
from tests.app.report.conftest import HOSTILE, few_labels

pytestmark = pytest.mark.usefixtures("drawn")


def svg(picture):
    kind, _, content = picture.uri.partition(";base64,")
    assert kind == "data:image/svg+xml"
    return base64.b64decode(content).decode()


def test_the_label_budget():
    picture = budget_picture(few_labels())
    assert svg(picture).lstrip().startswith("<?xml") and "from scratch" in picture.alt
    assert budget_picture(few_labels(counts=(5,))) is None


def test_curves_of_what_is_measured():
    history = [
        {"step": n, "epoch": 1.0, "eval_runtime": 2.0, "tokens_per_second": 3.0, "data/examples": n, "loss": 1 / n}
        for n in range(1, 5)
    ]
    history += [{"step": n, "eval_loss": 1.0, "eval_recall": 0.5, "learning_rate": 0.1, "note": "x"} for n in (2, 4)]
    assert curves_of(history) == ["loss", "eval_loss", "eval_recall"]  # a constant rate tells nothing
    assert len(curves_of([{"step": n, **{f"m{i}": 1.0 for i in range(20)}} for n in (1, 2)])) == MOST_CURVES
    assert "eval_recall" in curves_picture(history).alt
    assert curves_picture(history[:1]) is None and curves_picture([]) is None


def test_a_map_with_labels_and_without():
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    picture = map_picture(Embeddings(features, {"label": [["no", HOSTILE][i % 2] for i in range(30)]}), "")
    assert picture.alt == "30 embeddings in the plane, coloured by 2 labels"
    assert "<script" not in svg(picture)
    assert map_picture(Embeddings(features), "").alt == "30 embeddings in the plane"
