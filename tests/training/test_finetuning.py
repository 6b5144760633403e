"""Fine-tuning: a step in parts is a step, passes go on, the process is left as it was."""

import os
import random

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import TrainingArguments, Wav2Vec2Config, Wav2Vec2FeatureExtractor
from transformers.utils import logging as transformers_logging

from hf_unlab.modalities.audio.encoder import AudioEncoder
from hf_unlab.modalities.modality import Encoder
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.finetuning import FinetuningTrainer, finetune_classifier

RATE_HZ = 2_000
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 16],
    "conv_kernel": [20, 4],
    "conv_stride": [10, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "mask_time_length": 10,  # more than the shortest recordings have frames
    **dict.fromkeys(("hidden_dropout", "attention_dropout", "final_dropout"), 0.0),
    **dict.fromkeys(("activation_dropout", "feat_proj_dropout"), 0.0),
}
LABELS = np.arange(12) % 3


def recordings() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=length).astype(np.float32) for length in rng.choice([100, 300, 450], len(LABELS))]


def audio_encoder(norm: str = "layer", **settings) -> AudioEncoder:
    config = Wav2Vec2Config(**SIZES, feat_extract_norm=norm)
    return AudioEncoder(config, Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ), **settings)


def fitted(encoder: AudioEncoder, **settings):
    classifier = encoder.classifier(3, 0).to("cpu")
    finetune_classifier(classifier, encoder, recordings(), LABELS, **{"num_steps": 2, "batch_size": 8, **settings})
    return classifier


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_parts_of_a_step_give_the_gradient_of_the_whole(norm: str) -> None:
    weights = []
    for batch_seconds in (60.0, 0.5, 1e-3):
        classifier = fitted(audio_encoder(norm, batch_seconds=batch_seconds))
        # AdamW divides by the gradient's size: where that is only rounding, the weight may step either way.
        weights.append(classifier.wav2vec2.feature_extractor.conv_layers[0].conv.weight.detach())
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], atol=1e-5, rtol=0)


def test_all_weights_move_but_those_without_a_gradient() -> None:
    encoder = audio_encoder()
    before, after = encoder.classifier(3, 0).to("cpu").state_dict(), fitted(encoder).state_dict()
    # The projection of the keys has a bias that softmax ignores; the rest is used, but for SpecAugment's vector.
    still = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert still <= {"wav2vec2.masked_spec_embed", "wav2vec2.encoder.layers.0.attention.k_proj.bias"}
    frozen = encoder.classifier(3, 0).to("cpu")
    frozen.freeze_feature_encoder()
    finetune_classifier(frozen, encoder, recordings(), LABELS, num_steps=2)
    name = "wav2vec2.feature_extractor.conv_layers.0.conv.weight"
    assert torch.equal(frozen.state_dict()[name], before[name])
    assert not torch.equal(frozen.classifier.weight, before["classifier.weight"])


class Numbers(Encoder):
    """Numbers are their own features; what a fit asks for is kept."""

    def __init__(self) -> None:
        self.steps: list[list[float]] = []

    @property
    def model(self) -> torch.nn.Module:
        return torch.nn.Identity()

    def collate(self, inputs) -> dict[str, torch.Tensor]:
        return {"input": torch.tensor([[each, 1.0] for each in inputs])}

    def batches(self, inputs):
        self.steps.append(list(inputs))
        return super().batches(inputs)

    def fresh(self, seed: int) -> "Numbers":
        return Numbers()

    def embed(self, batch, layer=None, pooling=None) -> torch.Tensor:
        return batch["input"]

    def classifier(self, num_classes: int, seed: int) -> torch.nn.Module:
        class Classifier(torch.nn.Linear):
            def forward(self, input):
                return _Output(super().forward(input))

        torch.manual_seed(seed)
        return Classifier(2, num_classes)


class _Output(dict):
    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__(logits=logits)
        self.logits = logits


def test_passes_follow_one_another_and_the_seed_decides_their_order() -> None:
    orders = []
    for seed in (0, 0, 1):
        encoder, told = Numbers(), []
        classifier = encoder.classifier(2, 0)
        labels = np.array([0, 1] * 5)
        finetune_classifier(
            classifier,
            encoder,
            [float(i) for i in range(10)],
            labels,
            num_steps=5,
            batch_size=4,
            seed=seed,
            on_step=told.append,
        )
        assert told == [1, 2, 3, 4, 5] and [len(step) for step in encoder.steps] == [4] * 5
        read = [each for step in encoder.steps for each in step]
        assert sorted(read[:10]) == sorted(read[10:]) == list(range(10))
        orders.append(read)
    assert orders[0] == orders[1] != orders[2]


def test_a_fit_is_plain_adamw_with_warm_up_and_clipping() -> None:
    """Against the loop written out, on a draw that is smaller than a batch."""
    encoder, inputs, labels = Numbers(), [0.5, -3.0, 9.0], np.array([0, 1, 1])
    classifier, twin = encoder.classifier(2, 0), encoder.classifier(2, 0)
    finetune_classifier(classifier, encoder, inputs, labels, num_steps=20, learning_rate=0.1, weight_decay=0.2)
    groups = [{"params": [twin.weight], "weight_decay": 0.2}, {"params": [twin.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    batch, targets = encoder.collate(inputs), torch.tensor(labels)
    for step in range(20):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (step / 2 if step < 2 else (20 - step) / 18)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(twin(**batch).logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
    torch.testing.assert_close(classifier.weight, twin.weight)
    torch.testing.assert_close(classifier.bias, twin.bias)


def test_inputs_with_nothing_to_read_teach_nothing() -> None:
    class Picky(Numbers):
        def sizes(self, inputs) -> np.ndarray:
            return np.array([each > 0 for each in inputs]).astype(int)

    encoder = Picky()
    classifier = encoder.classifier(2, 0)
    before = classifier.weight.detach().clone()
    finetune_classifier(classifier, encoder, [-1.0, -2.0], np.array([0, 1]), num_steps=2, weight_decay=0.0)
    assert torch.equal(classifier.weight, before)


def test_a_model_that_computes_its_loss_takes_the_mean_over_accumulated_batches(tmp_path) -> None:
    class Square(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, **kwargs):
            return {"loss": (self.weight * x).square().mean()}

    weights = []
    for accumulation in (1, 4):
        settings = {"gradient_accumulation_steps": accumulation, "optim": "sgd", "lr_scheduler_type": "constant"}
        with alone_and_quiet():
            args = TrainingArguments(
                str(tmp_path),
                max_steps=1,
                per_device_train_batch_size=1,
                learning_rate=0.1,
                use_cpu=True,
                max_grad_norm=0.0,
                report_to="none",
                **settings,
            )
            trainer = FinetuningTrainer(Square(), args, train_dataset=[{"x": 1.0}] * 4)
            trainer.train()
        weights.append(trainer.model.weight.item())
    assert weights == pytest.approx([0.8, 0.8])


def test_is_quiet_and_writes_nothing(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    fitted(audio_encoder())
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.rglob("*")) == []


def test_leaves_the_process_as_it_was(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with alone_and_quiet():  # so that this test's own accelerator is gone afterwards, too
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        state, verbosity = dict(AcceleratorState._shared_state), transformers_logging.get_verbosity()
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        expected = random.random(), np.random.rand(), torch.rand(1).item()
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        environment = dict(os.environ)
        fitted(audio_encoder(), num_steps=1, batch_size=64)
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
        assert AcceleratorState._shared_state == state
        assert accelerator.mixed_precision == "bf16"
        assert dict(os.environ) == environment
        assert transformers_logging.get_verbosity() == verbosity


def test_runs_alone_where_a_launcher_promised_company(monkeypatch) -> None:
    # Without isolation, making TrainingArguments would wait here for a second process that never comes.
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    fitted(audio_encoder(), num_steps=1)
    assert not torch.distributed.is_initialized()
    assert os.environ["WORLD_SIZE"] == "2"
