"""The lines that load a checkpoint, by the files in it."""

import json

import pytest

from hf_unlab.hub.loading import how_to_load


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("open_clip_config.json", {}, "open_clip.create_model_and_transforms"),
        ("modules.json", [], "SentenceTransformer("),
        ("preprocessor_config.json", {"feature_extractor_type": "x"}, "AutoFeatureExtractor"),
        ("processor_config.json", {}, "AutoProcessor"),
        ("tokenizer.json", {}, "AutoTokenizer"),
    ],
)
def test_by_its_files(tmp_path, name, content, wanted):
    (tmp_path / name).write_text(json.dumps(content))
    lines = how_to_load(str(tmp_path))
    assert wanted in lines and str(tmp_path) in lines
