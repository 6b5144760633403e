"""loading.py: the lines that load a checkpoint, by the files in it."""

import json

import pytest

from hf_unlab.hub.loading import how_to_load, loading_of


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"open_clip_config.json": {}}, ["open_clip.create_model_and_transforms", "local-dir:"]),
        ({"modules.json": [], "config.json": {}}, ["SentenceTransformer("]),
        ({"config.json": {}, "preprocessor_config.json": {"feature_extractor_type": "x"}}, ["AutoFeatureExtractor"]),
        ({"config.json": {}, "processor_config.json": {}}, ["AutoProcessor", "AutoModel."]),
        ({"config.json": {}, "preprocessor_config.json": {"image_processor_type": "x"}}, ["AutoImageProcessor"]),
        ({"config.json": {"architectures": ["BertForMaskedLM"]}}, ["AutoTokenizer", "AutoModelForMaskedLM."]),
        ({"config.json": {"architectures": ["BertForSequenceClassification"]}}, ["ForSequenceClassification."]),
        ({"config.json": {"architectures": ["Wav2Vec2ForPreTraining"]}}, ["AutoModel."]),
    ],
)
def test_by_its_files(tmp_path, files, wanted):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    lines = how_to_load(str(tmp_path))
    assert all(one in lines for one in [*wanted, str(tmp_path)])
    compile(loading_of(tmp_path, "me/x").lines, "card", "exec")
    assert "me/x" in loading_of(tmp_path, "me/x").lines and str(tmp_path) not in loading_of(tmp_path, "me/x").lines


def test_an_adapter_is_loaded_onto_its_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "me/base"}))
    with pytest.raises(ValueError, match=r"hf_unlab alone loads it.*Publish the encoder"):
        loading_of(tmp_path, "me/x")
    (tmp_path / "classifier").mkdir()
    config = {"architectures": ["Wav2Vec2ForSequenceClassification"]}
    (tmp_path / "classifier" / "config.json").write_text(json.dumps(config))
    loading = loading_of(tmp_path, "me/x")
    assert loading.base == "me/base" and 'from_pretrained("me/base", config=config)' in loading.lines


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="is no checkpoint"):
        loading_of(tmp_path)
