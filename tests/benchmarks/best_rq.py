"""A training step of BEST-RQ beside one of wav2vec 2.0 of the same width, and log-mel frames beside transformers'."""

import numpy as np
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

from hf_unlab.losses.best_rq import code_losses
from hf_unlab.modalities.audio.mel import MelFrontEnd
from hf_unlab.objectives.best_rq.collator import BestRQCollator
from hf_unlab.objectives.best_rq.quantiser import QuantiserSettings, RandomProjectionQuantiser
from hf_unlab.streams.loader import Place
from tests.benchmarks import wav2vec2
from tests.benchmarks.timing import DEVICE, report, seconds_each
from tests.benchmarks.wav2vec2 import CLIPS, RATE, SECONDS


def _clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SECONDS * RATE).astype(np.float32) for _ in range(CLIPS)]


def _step():
    torch.manual_seed(0)
    sizes = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 768}
    front_end, settings = MelFrontEnd(RATE), QuantiserSettings()
    config = Wav2Vec2BertConfig(**sizes, feature_projection_input_dim=front_end.token_features)
    model = Wav2Vec2BertModel(config).to(DEVICE).train()
    quantise = RandomProjectionQuantiser(front_end.token_features, settings).to(DEVICE)
    heads = torch.nn.Linear(192, settings.num_codebooks * settings.codebook_size).to(DEVICE)
    made = BestRQCollator(front_end)([{"audio": clip} for clip in _clips()], Place(0))
    batch = {name: value.to(DEVICE) for name, value in made.items()}
    hidden = batch["mask_time_indices"]

    def run() -> None:
        model.zero_grad()
        codes = quantise(batch["input_features"][hidden])
        states = model(input_features=batch["input_features"], mask_time_indices=hidden).last_hidden_state[hidden]
        logits = heads(states).unflatten(-1, (settings.num_codebooks, settings.codebook_size))
        code_losses(logits, codes).sum().backward()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return run


def step() -> None:
    """Tokens of 20 ms in both."""
    twins = {
        "wav2vec 2.0, channels last, fp32": wav2vec2._step(fast_loss=True, fast_convolutions=True),
        "BEST-RQ, fp32": _step(),
    }
    rates = {name: CLIPS * SECONDS / seconds for name, seconds in seconds_each(twins).items()}
    report(f"BEST-RQ step, 4 layers x 192, {CLIPS} x {SECONDS} s", rates, "audio s/s")


def frames() -> None:
    """The same numbers, clip by clip."""
    clips, front_end, extractor = _clips(), MelFrontEnd(RATE), SeamlessM4TFeatureExtractor()
    twins = {
        "transformers' extractor": lambda: [extractor(clip, sampling_rate=RATE) for clip in clips],
        "frames of a whole clip at once": lambda: [front_end.tokens(front_end.frames(clip)) for clip in clips],
    }
    rates = {name: CLIPS * SECONDS / seconds for name, seconds in seconds_each(twins).items()}
    report("log-mel frames, 16 kHz, 80 bands", rates, "audio s/s")
