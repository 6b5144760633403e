"""An example has the features that it has alone, beside any others and whatever side its tokenizer would pad on."""

import copy
import logging

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    FNetConfig,
    GPT2Config,
    RobertaConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.audio.encoder import load_encoder as load_audio_encoder
from hf_unlab.modalities.audio.models import PRESETS, load_audio_model
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.running import evaluating, pad_on_the_right
from hf_unlab.modalities.text.encoder import TextEncoder
from hf_unlab.modalities.text.models import load_tokenizer
from hf_unlab.objectives.wav2vec2.ctc_data import CTCCollator, character_vocabulary, encode, make_processor
from hf_unlab.testing import tiny_tokenizer, tiny_wav2vec2
from hf_unlab.training.alone import quiet_transformers
from tests.modalities.image_text import dual_encoders

SIDES = ("left", "right")
TEXTS = ["the old river", "a", "the new town keeps a small red stone and reads"]
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
WAVES = [np.random.default_rng(i).standard_normal(length) for i, length in enumerate((3000, 1200, 4100))]
CONFIGS = {
    "bert": BertConfig(**SIZE, vocab_size=300),
    "roberta": RobertaConfig(**SIZE, vocab_size=300),  # which counts positions by the padding
    "distilbert": DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=300),
    "deberta": DebertaV2Config(**SIZE, vocab_size=300, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=300, pad_token_id=299),  # its head reads the last
    "fnet": FNetConfig(**SIZE, vocab_size=300),  # which knows no mask
}


def on_the(side, padder):
    padder = copy.deepcopy(padder)
    padder.padding_side = side
    getattr(padder, "init_kwargs", {})["padding_side"] = side  # so that it is saved
    return padder


@pytest.fixture(autouse=True)
def quiet():
    with quiet_transformers():
        yield


@pytest.mark.parametrize("kind", dual_encoders.MAKERS)
@pytest.mark.parametrize("side", SIDES)
def test_captions_of_dual_encoders(kind, side, tmp_path, caplog):
    model = dual_encoders.make(kind)
    if kind.startswith("open_clip"):  # which pads to one length always, on the side that it was trained with
        loaded = model
    else:
        model.save_pretrained(tmp_path)
        on_the(side, model.processor.tokenizer).save_pretrained(tmp_path)
        loaded = load_dual_encoder(str(tmp_path))
        assert ("pads on the left" in caplog.text) == (side == "left")
        loaded.save_pretrained(tmp_path / "again")
        assert load_tokenizer(str(tmp_path / "again")).padding_side == "right"
    loaded.eval()
    with evaluating(model), torch.no_grad():
        right = model.encode_text(**model.tokenize(dual_encoders.CAPTIONS))
        together = loaded.encode_text(**loaded.tokenize(dual_encoders.CAPTIONS))
        alone = torch.cat([loaded.encode_text(**loaded.tokenize([text])) for text in dual_encoders.CAPTIONS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, right, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", CONFIGS)
def test_text_encoders_and_their_classifiers(name, side):
    encoder = TextEncoder(CONFIGS[name], on_the(side, tiny_tokenizer()))
    features = features_of(encoder, TEXTS)
    np.testing.assert_allclose(np.concatenate([features_of(encoder, [text]) for text in TEXTS]), features, atol=1e-5)
    assert np.abs(features[0] - features[1]).max() > 1e-2
    classifier = encoder.classifier(2, 0).eval()
    with torch.no_grad():
        for indices, batch in encoder.batches(TEXTS):
            alone = [classifier(**encoder.collate([TEXTS[i]])).logits for i in indices]
            torch.testing.assert_close(classifier(**batch).logits, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.fixture(params=["layer", "group"])
def speech(request, tmp_path):
    """The folder of a tiny wav2vec 2.0 whose feature extractor pads on the left."""
    model, extractor = tiny_wav2vec2(feat_extract_norm=request.param)
    model.save_pretrained(tmp_path)
    on_the("left", extractor).save_pretrained(tmp_path)
    return tmp_path


def test_recordings_and_their_classifiers(speech):
    encoder = load_audio_encoder(speech)
    assert encoder.processor.padding_side == "right"
    assert load_audio_model(str(speech))[1].padding_side == "right"
    features = features_of(encoder, WAVES)
    np.testing.assert_allclose(np.concatenate([features_of(encoder, [wave]) for wave in WAVES]), features, atol=1e-4)
    classifier = encoder.classifier(2, 0).eval()
    with torch.no_grad():
        for indices, batch in encoder.batches(WAVES):
            alone = [classifier(**encoder.collate([WAVES[i]])).logits for i in indices]
            torch.testing.assert_close(classifier(**batch).logits, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_utterances_to_transcribe(side):
    _, extractor = tiny_wav2vec2()
    processor = make_processor(character_vocabulary(["ab"]), on_the(side, extractor))
    settings = {name: value for name, value in PRESETS["tiny"].items() if name != "sampling_rate"}
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**settings, vocab_size=5)).eval()
    rows = encode([{"audio": wave, "text": "ab"} for wave in WAVES], processor)
    collate = CTCCollator(processor, model.config, mask_time_prob=0.0)
    with torch.no_grad():
        together = model(**collate(rows)).logits
        for logits, row in zip(together, rows, strict=True):
            alone = model(**collate([row])).logits[0]
            torch.testing.assert_close(logits[: len(alone)], alone, atol=1e-4, rtol=1e-4)


def test_only_a_change_is_said(caplog):
    tokenizer, extractor = tiny_tokenizer(), Wav2Vec2FeatureExtractor()
    with caplog.at_level(logging.WARNING):
        for padder in (tokenizer, extractor, object()):
            pad_on_the_right(padder)
        assert not caplog.records
        extractor.padding_side = "left"
        pad_on_the_right(extractor)
    assert [record.getMessage() for record in caplog.records] == [
        "The Wav2Vec2FeatureExtractor pads on the left, but the model counts from the first token or frame: it is set "
        "to pad on the right, and saved so."
    ]
    assert extractor.padding_side == "right"
