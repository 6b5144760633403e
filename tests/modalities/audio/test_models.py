"""Speech models: presets, overrides, frames, and a convolution that is the same but faster."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from hf_unlab.modalities.audio.models import (
    ChannelsLastConv1d,
    audio_model_for,
    frame_seconds,
    frames_of,
    load_audio_model,
    receptive_field,
    use_channels_last,
    watched,
)
from hf_unlab.modalities.audio.settings import AudioModelSettings
from hf_unlab.testing import tiny_wav2vec2

SMALL = "num_hidden_layers=1,hidden_size=32,intermediate_size=32"


def test_presets_and_checkpoints(tmp_path):
    model, extractor = load_audio_model("tiny", config_overrides=SMALL)
    assert (extractor.sampling_rate, frame_seconds(model, extractor), extractor.do_normalize) == (8000, 0.02, True)
    assert extractor.return_attention_mask == (model.config.feat_extract_norm == "layer")
    model.half().save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    again, _ = load_audio_model(str(tmp_path))
    assert again.dtype == torch.float32
    name = "quantizer.codevectors"
    assert torch.equal(again.state_dict()[name], model.state_dict()[name].float())
    scratch, _ = audio_model_for(AudioModelSettings(), tmp_path)
    assert not torch.equal(scratch.state_dict()[name], again.state_dict()[name])
    named, _ = audio_model_for(AudioModelSettings(model=str(tmp_path), from_scratch=True, config_overrides=""), None)
    assert named.config.hidden_size == 32


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"no model 'nothing': give tiny, base, large"):
        load_audio_model("nothing")
    BertConfig().save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a bert, not a wav2vec"):
        load_audio_model(str(tmp_path))
    Wav2Vec2Config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="need a preset or from_scratch"):
        load_audio_model(str(tmp_path), config_overrides=SMALL)
    with pytest.raises(ValueError, match="has an adapter"):
        load_audio_model("tiny", config_overrides=f"{SMALL},add_adapter=True")


def test_frames_are_those_of_the_model():
    config = tiny_wav2vec2()[0].config
    model, shortest = Wav2Vec2Model(config).eval(), receptive_field(config)
    for samples in (shortest, shortest + 159, shortest + 160, 4000):
        with torch.no_grad():
            frames = model(torch.randn(1, samples)).last_hidden_state.shape[1]
        assert frames_of(np.array([samples]), config.conv_kernel, config.conv_stride).tolist() == [frames]
    assert frames_of(np.array([shortest - 1, 0]), config.conv_kernel, config.conv_stride).tolist() == [0, 0]


@pytest.mark.parametrize("kernel, stride", [(20, 10), (4, 4), (3, 2), (2, 3)])
def test_the_faster_convolution_is_the_same(kernel, stride):
    torch.manual_seed(0)
    plain = torch.nn.Conv1d(3, 5, kernel, stride)
    fast = ChannelsLastConv1d(3, 5, kernel, stride)
    fast.load_state_dict(plain.state_dict())
    inputs = [torch.randn(2, 3, 61, requires_grad=True)]
    inputs.append(inputs[0].detach().clone().requires_grad_())
    outputs = [layer(each) for layer, each in zip((plain, fast), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    torch.testing.assert_close(fast.weight.grad, plain.weight.grad)


def test_what_is_watched_is_what_the_model_computes():
    model, _ = tiny_wav2vec2()
    use_channels_last(model)
    assert type(model.wav2vec2.feature_extractor.conv_layers[0].conv) is ChannelsLastConv1d
    clip = torch.randn(1, 4000)
    with watched(model, feature_grad_scale=0.5) as seen:
        model.eval()(clip)
    torch.testing.assert_close(seen.features_BCT, model.wav2vec2.feature_extractor(clip))
    assert seen.code_logits.shape[-1] == 2 * 4
