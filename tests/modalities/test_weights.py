"""What a checkpoint lacks is said, or refused; what is usual is not mentioned; by every loader."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCTC,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertForPreTraining,
    BertForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
    Wav2Vec2ForCTC,
)

from hf_unlab.modalities.audio.encoder import load_encoder as load_audio_encoder
from hf_unlab.modalities.audio.models import load_audio_model
from hf_unlab.modalities.image.encoder import load_encoder as load_image_encoder
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.text.encoder import load_encoder as load_text_encoder
from hf_unlab.modalities.text.models import load_masked_lm
from hf_unlab.modalities.weights import WeightsError, load_renamed, load_weights, module_names
from hf_unlab.objectives.wav2vec2.ctc import _ctc_config, _make_model
from hf_unlab.objectives.wav2vec2.ctc_data import character_vocabulary, make_processor
from hf_unlab.objectives.wav2vec2.transcribed_audio import TranscribedAudioSettings
from hf_unlab.testing import tiny_bert, tiny_dual_encoder, tiny_tokenizer, tiny_wav2vec2
from hf_unlab.training.alone import quiet_transformers
from tests.modalities.image_text.dual_encoders import make, save_towers


@pytest.fixture(autouse=True)
def quiet():
    with quiet_transformers():
        yield


@pytest.fixture
def said(caplog):
    """What was logged since it was last asked, by us or by transformers, whose table would be a second word."""
    caplog.set_level(logging.WARNING)

    def said():
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return said


@pytest.fixture
def saved(tmp_path):
    """Saves a model with what stands beside it; `without` and `config` then change what is there."""

    def save(model, *beside, without=(), config=(), folder="checkpoint"):
        path = tmp_path / folder
        for each in (model, *beside):
            each.save_pretrained(path)
        file = path / "model.safetensors"
        if without:
            kept = {name: value for name, value in load_file(file).items() if not name.startswith(without)}
            assert 0 < len(kept) < len(load_file(file))
            save_file(kept, file, metadata={"format": "pt"})
        content = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**content, **dict(config)}))
        return str(path)

    return save


def vit(**settings):
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    return ViTConfig(**size, image_size=32, patch_size=8, **settings)


TOKENIZER = tiny_tokenizer()
VIT_PROCESSOR = ViTImageProcessor(size={"height": 32, "width": 32})


def test_what_is_usual_is_not_mentioned(saved, said):
    bert = tiny_bert()
    for number, model in enumerate((bert, bert.bert, BertForPreTraining(bert.config))):
        name = saved(model, TOKENIZER, folder=f"bert{number}")
        assert load_text_encoder(name).model.training is False
        load_text_encoder(name).classifier(3, 0)
        if model is not bert.bert:
            load_masked_lm(name, TOKENIZER)
    name = saved(BertForSequenceClassification(bert.config), TOKENIZER, folder="classifier")
    load_text_encoder(name).classifier(5, 0)  # its head is of another size
    model, extractor = tiny_wav2vec2()
    speech = saved(model, extractor, folder="speech")
    load_audio_model(speech)
    load_audio_encoder(speech).classifier(3, 0)
    assert load_audio_encoder(speech).model.dtype == torch.float32
    load_image_encoder(saved(AutoModel.from_config(vit()), VIT_PROCESSOR, folder="vit")).classifier(2, 0)
    dual = tiny_dual_encoder()
    dual.save_pretrained(saved(dual.model, folder="clip"))
    load_dual_encoder(saved(dual.model, folder="clip"))
    assert said() == []


def test_a_masked_language_models_new_head_is_named(saved, said):
    name = saved(BertForSequenceClassification(tiny_bert().config))
    load_masked_lm(name, TOKENIZER)
    assert said() == [
        f"'{name}' has no weights for cls.predictions, cls.predictions.decoder, cls.predictions.transform.LayerNorm, "
        "cls.predictions.transform.dense of BertForMaskedLM: they are new, drawn at random. It holds instead: "
        "bert.pooler.dense, classifier."
    ]


def test_a_new_quantiser_is_named(saved, said):
    model, extractor = tiny_wav2vec2()
    name = saved(Wav2Vec2ForCTC(model.config), extractor)
    load_audio_model(name)
    (message,) = said()
    assert "has no weights for project_hid, project_q, quantizer.codevectors, quantizer.weight_proj of" in message
    assert message.endswith("drawn at random. It holds instead: lm_head.")


def test_new_projections_and_temperatures_are_named(saved, said):
    dual = tiny_dual_encoder()
    dual.processor.save_pretrained(saved(dual.model, without=("logit_scale", "text_projection")))
    name = saved(dual.model, without=("logit_scale", "text_projection"))
    load_dual_encoder(name)
    assert said() == [
        f"'{name}' has no weights for logit_scale, text_projection of CLIPModel: they are new, drawn at random."
    ]


def test_features_of_a_new_pooler_are_no_features(saved, said):
    name = saved(ViTForImageClassification(vit()), VIT_PROCESSOR)
    encoder = load_image_encoder(name)
    encoder.classifier(2, 0)  # reads no pooler
    assert said() == []
    assert encoder.model is encoder.model
    assert said() == [
        f"'{name}' has no weights for pooler.dense of ViTModel: they are new, drawn at random. It holds instead: "
        "classifier."
    ]


def test_joined_towers_say_what_is_new(tmp_path, said):
    image, text = save_towers(tmp_path)
    load_dual_encoder(image, text)
    assert said() == []
    weights = load_file(f"{text}/model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "pooler" not in name},
        f"{text}/model.safetensors",
        metadata={"format": "pt"},
    )
    load_dual_encoder(image, text)
    assert said() == [f"'{text}' has no weights for pooler.dense of BertModel: they are new, drawn at random."]


LOADERS = {
    "masked_lm": lambda name: load_masked_lm(name, TOKENIZER),
    "text": lambda name: load_text_encoder(name).model,
    "text classifier": lambda name: load_text_encoder(name).classifier(2, 0),
    "audio": load_audio_model,
    "audio encoder": lambda name: load_audio_encoder(name).model,
    "audio classifier": lambda name: load_audio_encoder(name).classifier(2, 0),
    "ctc": lambda name: ctc(name),
    "image": lambda name: load_image_encoder(name).model,
    "image classifier": lambda name: load_image_encoder(name).classifier(2, 0),
    "image_text": load_dual_encoder,
}


def ctc(name):
    encoder = load_audio_encoder(name)
    processor = make_processor(character_vocabulary(["ab"]), encoder.processor)
    settings = TranscribedAudioSettings(model=name)
    return _make_model(name, _ctc_config(encoder.config, processor, settings), settings, 0)


def model_for(loader):
    """A model of the loader's kind with what stands beside it, and where a layer of its weights is."""
    if loader in ("masked_lm", "text", "text classifier"):
        return tiny_bert(), TOKENIZER, "bert.encoder.layer.0"
    if loader.startswith(("audio", "ctc")):
        return *tiny_wav2vec2(), "wav2vec2.encoder.layers.0"
    if loader == "image_text":
        dual = tiny_dual_encoder()
        return dual.model, dual.processor, "text_model.encoder.layers.0"
    return AutoModel.from_config(vit()), VIT_PROCESSOR, "encoder.layer"


@pytest.mark.parametrize("loader", LOADERS)
def test_an_encoder_must_be_there(loader, saved):
    model, beside, layer = model_for(loader)
    name = saved(model, beside, without=(layer,))
    with pytest.raises(
        WeightsError, match=rf"'{name}' lacks \d+ weights of the encoder of \w+, which would be random"
    ):
        LOADERS[loader](name)


@pytest.mark.parametrize("loader", [name for name in LOADERS if name != "image_text"])
def test_weights_of_other_shapes_are_told_in_a_sentence(loader, saved):
    model, beside, _ = model_for(loader)
    name = saved(model, beside, config={"intermediate_size": 40})
    with pytest.raises(
        WeightsError, match=r"do not fit its config.json: \S+ is \d+ x 16 in the checkpoint and 40 x 16"
    ):
        LOADERS[loader](name)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_damaged_file_is_told_in_a_sentence(loader, saved):
    model, beside, _ = model_for(loader)
    name = saved(model, beside)
    with open(f"{name}/model.safetensors", "r+b") as file:
        file.truncate(file.seek(0, 2) // 2)
    with pytest.raises(WeightsError, match=rf"The weights of '{name}' cannot be read .*are they whole"):
        LOADERS[loader](name)


@pytest.mark.parametrize("loader", ["audio", "image_text", "masked_lm"])
def test_a_folder_without_weights_is_told_in_a_sentence(loader, saved, tmp_path):
    model, beside, _ = model_for(loader)
    name = saved(model, beside)
    (tmp_path / "checkpoint" / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"There is no model|Cannot load"):
        LOADERS[loader](name)


def test_layers_that_the_configuration_leaves_out_are_said_once_a_table(saved, said):
    name = saved(tiny_bert(num_hidden_layers=2), TOKENIZER, config={"num_hidden_layers": 1})
    load_masked_lm(name, TOKENIZER)
    (message,) = said()
    assert "has no place for by its config.json, and which are left out: bert.encoder.layer.*.attention" in message
    encoder = load_text_encoder(name)
    for seed in range(3):
        encoder.classifier(2, seed)
    (message,) = said()
    assert "BertForSequenceClassification has no place for" in message


def test_a_bare_encoder_tells_its_own_layers_from_another_head(saved, said):
    load_weights(AutoModel, saved(tiny_bert(num_hidden_layers=2), config={"num_hidden_layers": 1}), head="fresh")
    (message,) = said()
    assert "BertModel has no place for" in message and "cls.predictions" not in message


def test_a_resumed_run_needs_the_very_model(saved):
    dual = make("clip")
    name = saved(dual.model, without=("logit_scale",))
    with pytest.raises(
        ValueError, match=r"holds no checkpoint of this CLIPModel: .* another architecture: logit_scale"
    ):
        dual.load_weights(name)
    shutil.rmtree(name)
    assert dual.load_weights(saved(dual.model)) is None


def test_weights_that_are_saved_under_older_names_are_found_again(tmp_path):
    """Trainer would go on with what the model has."""
    (saved, model), bert = (ViTModel(vit()) for _ in range(2)), tiny_bert()
    saved.save_pretrained(tmp_path / "vit")
    assert not load_file(tmp_path / "vit" / "model.safetensors").keys() <= model.state_dict().keys()
    assert load_renamed(model, tmp_path / "vit")
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in saved.state_dict().items())
    bert.save_pretrained(tmp_path / "bert")
    assert not load_renamed(bert, tmp_path / "bert")  # Trainer finds them
    assert not load_renamed(torch.nn.Linear(1, 1), tmp_path / "vit")


def test_open_clip_names_what_is_missing(tmp_path):
    make("open_clip").save_pretrained(tmp_path)
    file = tmp_path / "open_clip_model.safetensors"
    weights = load_file(file)
    save_file({name: value for name, value in weights.items() if name != "text_projection"}, file)
    with pytest.raises(ValueError, match=r'cannot make the model .*Missing key\(s\) in state_dict: "text_projection"'):
        load_dual_encoder(str(tmp_path))
    file.unlink()
    with pytest.raises(ValueError, match=r"cannot make the model .*could not be loaded"):
        load_dual_encoder(str(tmp_path))


def test_fresh_heads_are_no_news_and_others_are(saved, said):
    name = saved(tiny_bert().bert)
    load_weights(AutoModelForSequenceClassification, name, head="fresh")
    assert said() == []
    load_weights(AutoModelForMaskedLM, name)
    assert len(said()) == 1
    with pytest.raises(WeightsError, match=r"is of another architecture: cls\.predictions"):
        load_weights(AutoModelForMaskedLM, name, head="required")
    model, _ = tiny_wav2vec2()
    load_weights(AutoModelForCTC, saved(model, folder="speech"), head="fresh")
    assert said() == []


def test_names_are_shortened():
    assert module_names(["a.weight", "a.bias"]) == "a"
    assert (
        module_names([f"{letter}.{i}.weight" for letter in "abcdef" for i in range(20)])
        == "a.*, b.*, c.*, d.* and 2 more"
    )
