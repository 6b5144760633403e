"""A training step of wav2vec 2.0: 4 layers x 192, 8 clips of 2 s at 16 kHz, pre-LN, 100 negatives."""

import contextlib

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from hf_unlab.losses.wav2vec2 import contrastive_losses
from hf_unlab.modalities.audio.models import use_channels_last, watched
from hf_unlab.objectives.wav2vec2.collator import Wav2Vec2Collator
from hf_unlab.streams.loader import Place
from hf_unlab.training.launch import hardware_has_bf16
from tests.benchmarks.timing import DEVICE, report, seconds_each

CLIPS, SECONDS, RATE = 8, 2, 16_000


def _model():
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=768,
        conv_dim=[192] * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    return Wav2Vec2ForPreTraining(config).to(DEVICE).train()


def _step(*, fast_loss, fast_convolutions=False, autocast=None):
    model, rng = _model(), np.random.default_rng(0)
    if fast_convolutions:
        use_channels_last(model)
    clips = [{"audio": rng.standard_normal(SECONDS * RATE).astype(np.float32)} for _ in range(CLIPS)]
    collate = Wav2Vec2Collator(tuple(model.config.conv_kernel), tuple(model.config.conv_stride))
    batch = {name: value.to(DEVICE) for name, value in collate(clips, Place(0)).items()}
    hidden, negatives = batch["mask_time_indices"], batch["sampled_negative_indices"]

    def run():
        model.zero_grad()
        with torch.autocast(DEVICE.type, autocast) if autocast else contextlib.nullcontext():
            if fast_loss:
                with watched(model) as seen:
                    output = model(batch["input_values"], mask_time_indices=hidden)
                losses, _ = contrastive_losses(
                    output.projected_states, output.projected_quantized_states, hidden, negatives
                )
                penalty = seen.features_BCT.float().square().mean()
                loss = losses.sum() + (10 * penalty - 0.1 * output.codevector_perplexity) * batch["num_items"]
            else:
                loss = model(batch["input_values"], mask_time_indices=hidden, sampled_negative_indices=negatives).loss
        loss.backward()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return run


def step():
    """What makes a step fast, one after the other, beside the stock forward."""
    twins = {
        "stock forward, fp32": _step(fast_loss=False),
        "logits by one matrix product, fp32": _step(fast_loss=True),
        "and convolutions channels last, fp32": _step(fast_loss=True, fast_convolutions=True),
    }
    if hardware_has_bf16(DEVICE.type == "cpu"):
        twins["stock forward, bf16"] = _step(fast_loss=False, autocast=torch.bfloat16)
        twins["logits by one matrix product, bf16"] = _step(fast_loss=True, autocast=torch.bfloat16)
        twins["and convolutions channels last, bf16"] = _step(
            fast_loss=True, fast_convolutions=True, autocast=torch.bfloat16
        )
    rates = {name: CLIPS * SECONDS / seconds for name, seconds in seconds_each(twins).items()}
    report(f"wav2vec 2.0 step, {CLIPS} x {SECONDS} s", rates, "audio s/s")
