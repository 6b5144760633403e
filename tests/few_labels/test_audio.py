"""Fine-tuning speech encoders: it learns, repeats itself, and no recording shows in what is made of another."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2ForPreTraining

from hf_unlab.few_labels.audio import finetune_audio_classifier, from_checkpoint, from_scratch
from hf_unlab.few_labels.draws import draw_few
from hf_unlab.few_labels.isolation import alone_and_quiet

RATE_HZ = 2_000
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16, 32],
    "conv_kernel": [20, 4],
    "conv_stride": [10, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "codevector_dim": 16,
    "proj_codevector_dim": 16,
    "classifier_proj_size": 32,
    "mask_time_length": 10,  # more than the shortest recordings have frames
}
CONFIG = Wav2Vec2Config(**SIZES, feat_extract_norm="layer", do_stable_layer_norm=True)
LABELS, TEST_LABELS = np.repeat(np.arange(3), 12), np.tile(np.arange(3), 10)


def tones_of(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Noisy tones of 150, 300 and 450 Hz, 0.05 to 0.4 s long."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(RATE_HZ // 20, 2 * RATE_HZ // 5, len(labels))
    return [
        (np.sin(np.pi * 2 * 150 * (label + 1) * np.arange(length) / RATE_HZ) + rng.normal(0, 0.3, length)).astype(
            np.float32
        )
        for label, length in zip(labels, lengths, strict=True)
    ]


def candidate(make_model=None, labels: np.ndarray = TEST_LABELS, **settings):
    make_model = make_model or from_scratch(CONFIG)
    pool, test = tones_of(LABELS, 0), tones_of(labels, 1)
    return finetune_audio_classifier("from scratch", make_model, pool, LABELS, test, RATE_HZ, **settings)


def keeping(make_model, made: list):
    """A maker whose models stay in `made`."""

    def make(num_labels: int, seed: int):
        made.append(make_model(num_labels, seed))
        return made[-1]

    return make


def test_learns_repeats_and_differs_by_seed() -> None:
    fit, indices = candidate(num_steps=40, learning_rate=3e-3), draw_few(LABELS, 10, 0)
    predictions = fit.predict(indices, 0)
    assert (predictions == TEST_LABELS).mean() > 0.9
    np.testing.assert_array_equal(fit.predict(indices, 0), predictions)
    short = candidate(num_steps=1)
    assert (short.predict(indices, 0) != short.predict(indices, 1)).any()


def test_all_weights_move() -> None:
    made: list = []
    candidate(keeping(from_scratch(CONFIG), made), num_steps=2).predict(draw_few(LABELS, 4, 0), 0)
    with alone_and_quiet():
        before = from_scratch(CONFIG)(3, 0).state_dict()
    # The projection of the keys has a bias that softmax ignores; the rest is used, but for SpecAugment's vector.
    still = {name for name, value in made[0].state_dict().items() if torch.equal(value, before[name])}
    assert still <= {"wav2vec2.masked_spec_embed", "wav2vec2.encoder.layers.0.attention.k_proj.bias"}


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_parts_of_a_step_give_the_gradient_of_the_whole(norm: str) -> None:
    weights = []
    config = Wav2Vec2Config(**SIZES, feat_extract_norm=norm, hidden_dropout=0, attention_dropout=0, final_dropout=0)
    config.activation_dropout = config.feat_proj_dropout = 0.0
    for batch_seconds in (60.0, 0.5, 1e-3):
        made: list = []
        fit = candidate(keeping(from_scratch(config), made), num_steps=2, batch_size=8, batch_seconds=batch_seconds)
        fit.predict(draw_few(LABELS, 4, 0), 0)
        # AdamW divides by the gradient's size: where that is only rounding, the weight may step either way.
        weights.append(made[0].wav2vec2.feature_extractor.conv_layers[0].conv.weight.detach())
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_prediction_does_not_depend_on_the_rest_of_the_test_set(norm: str) -> None:
    config, indices = Wav2Vec2Config(**SIZES, feat_extract_norm=norm), draw_few(LABELS, 4, 0)
    logits: dict[str, torch.Tensor] = {}

    def recorded(num_labels: int, seed: int):
        model = from_scratch(config)(num_labels, seed)
        model.register_forward_hook(lambda module, inputs, outputs: record(module, outputs.logits))
        return model

    def record(module, logits_BC: torch.Tensor) -> None:
        if not module.training:
            logits[key] = torch.cat([logits.get(key, torch.zeros(0, 3)), logits_BC])

    pool, test = tones_of(LABELS, 0), tones_of(TEST_LABELS, 1)
    order = np.argsort([-len(sound) for sound in test], kind="stable")
    settings = {"num_steps": 1, "batch_size": 4}
    key = "together"
    finetune_audio_classifier("x", recorded, pool, LABELS, test, RATE_HZ, **settings).predict(indices, 0)
    key = "alone"
    for i in order[::7]:
        finetune_audio_classifier("x", recorded, pool, LABELS, [test[i]], RATE_HZ, **settings).predict(indices, 0)
    torch.testing.assert_close(logits["alone"], logits["together"][::7], atol=1e-5, rtol=0)


def test_pretrained_weights_are_used_and_only_the_head_is_new(tmp_path) -> None:
    with alone_and_quiet():
        pretrained = Wav2Vec2ForPreTraining(CONFIG)
        pretrained.half().save_pretrained(tmp_path)
        made = [from_checkpoint(tmp_path)(3, seed) for seed in (0, 0, 1)]
        scratch = [from_scratch(CONFIG)(3, seed) for seed in (0, 0, 1)]
    conv = "feature_extractor.conv_layers.0.conv.weight"
    for model in made:
        torch.testing.assert_close(
            model.base_model.state_dict()[conv], pretrained.state_dict()[f"wav2vec2.{conv}"].float()
        )
    for first, again, other in (made, scratch):
        torch.testing.assert_close(first.classifier.weight, again.classifier.weight)
        assert not torch.equal(first.classifier.weight, other.classifier.weight)
        assert (first.config.num_labels, first.config.apply_spec_augment, first.config.layerdrop) == (3, False, 0.0)
        assert first.dtype == torch.float32
    assert not torch.equal(scratch[0].base_model.state_dict()[conv], scratch[2].base_model.state_dict()[conv])
    assert (CONFIG.num_labels, CONFIG.apply_spec_augment) == (2, True)


def test_is_quiet_and_writes_nothing(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    with alone_and_quiet():
        AutoModel.from_config(CONFIG).save_pretrained(tmp_path / "checkpoint")
    before = sorted(tmp_path.rglob("*"))
    capfd.readouterr()
    candidate(from_checkpoint(tmp_path / "checkpoint"), num_steps=2).predict(draw_few(LABELS, 2, 0), 0)
    assert capfd.readouterr() == ("", "")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_generators_of_the_process_stay_as_they_were() -> None:
    torch.manual_seed(3), np.random.seed(3)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(3), np.random.seed(3)
    candidate(num_steps=1, batch_size=64).predict(draw_few(LABELS, 1, 0), 5)  # the draw is smaller than a batch
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3"):
        finetune_audio_classifier("x", from_scratch(CONFIG), tones_of(LABELS[:3], 0), np.array([0, 1]), [], RATE_HZ)
    with pytest.raises(ValueError, match="num_steps is 0"):
        candidate(num_steps=0)
    with pytest.raises(ValueError, match="batch_seconds is 0"):
        candidate(batch_seconds=0)
