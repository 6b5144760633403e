"""Losses that must not move: ten steps of each recipe's tiny.yaml, and an evaluation, on the streams of tests.

Where a change of the losses is meant, write them anew: HF_UNLAB_WRITE_GOLDEN=1 pytest tests/golden
"""

import json
import os
from pathlib import Path

import pytest
from datasets import Dataset

from hf_unlab.hub.resources import recipe_path
from hf_unlab.testing import tiny_clips, tiny_pairs, tiny_texts
from tests.processes.launching import BEST_RQ, CLUSTERS, IMAGE_TEXT, RECIPE, WAV2VEC2, pretrain

WORD_VECTORS = recipe_path("word_vectors", "pretrain.py")
GOLDEN = Path(__file__).parent
# The metrics that are kept of each line of the log.
KEPT = ("loss", "grad_norm", "accuracy", "contrastive_loss", "code_perplexity", "logit_scale", "mean_recall")
KEPT += ("target_perplexity",)
STEPS = ["--max_steps", "10", "--logging_steps", "1", "--eval_steps", "10", "--save_steps", "10", "--seed", "7"]
STEPS += ["--precision", "fp32", "--use_cpu", "true", "--dataloader_num_workers", "0", "--num_readers", "2"]
OF_IMAGES = ["--per_device_train_batch_size", "24", "--validation_fraction", "0.2"]
OF_IMAGES += ["--learning_rate", "1e-4"]  # at the recipe's, what processors round differently grows to a percent
OF_WORDS = ["--per_device_train_batch_size", "16", "--num_features", "16"]
OF_CLUSTERS = ["--model", "mel-tiny", "--config_overrides", "num_hidden_layers=1", "--group_column", "speaker"]
OF_CLUSTERS += ["--normalise", "group", "--per_device_train_batch_size", "8", "--validation_fraction", "0.1"]
OF_CLUSTERS += ["--cluster_sizes", "4", "8", "--warmup_steps", "2"]
OF_AUDIO = ["--max_seconds", "1", "--max_batch_seconds", "6", "--validation_fraction", "0.1"]
RECIPES = {
    "masked_lm": (RECIPE, lambda: [{"text": text} for text in tiny_texts(900, num_words=30)], ["--vocab_size", "400"]),
    "image_text": (IMAGE_TEXT, lambda: list(tiny_pairs(320)), OF_IMAGES),
    "skip_gram": (WORD_VECTORS, lambda: [{"text": text} for text in tiny_texts(900, num_words=30)], OF_WORDS),
    "glove": (WORD_VECTORS, lambda: [{"text": text} for text in tiny_texts(900)], [*OF_WORDS, "--objective", "glove"]),
    "clusters": (
        CLUSTERS,
        lambda: [{**row, "speaker": "ab"[number % 2]} for number, row in enumerate(tiny_clips(120))],
        OF_CLUSTERS,
    ),
    "wav2vec2": (WAV2VEC2, lambda: list(tiny_clips(120)), OF_AUDIO),
    "best_rq": (BEST_RQ, lambda: list(tiny_clips(120)), [*OF_AUDIO, "--normalise", "clip"]),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_losses_of_ten_steps_did_not_move(name, tmp_path, capsys):
    script, make_rows, settings = RECIPES[name]
    data, out, golden = tmp_path / "data.parquet", tmp_path / "out", GOLDEN / f"{name}.json"
    Dataset.from_list(make_rows()).to_parquet(data)
    tiny = script.with_name("tiny.yaml")
    given = ["--dataset", "parquet", "--data_files", str(data), *STEPS, *settings, "--output_dir", str(out)]
    pretrain(["--config", str(tiny), *given], script)
    state = json.loads((out / "checkpoint-10" / "trainer_state.json").read_text())
    found = [
        {key: value for key, value in line.items() if key.removeprefix("eval_") in KEPT}
        for line in state["log_history"]
    ]
    if "HF_UNLAB_WRITE_GOLDEN" in os.environ:
        golden.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(golden.read_text())
    assert len(found) == 11 and [line.keys() for line in found] == [line.keys() for line in expected]
    for line, kept in zip(found, expected, strict=True):
        # processors sum in other orders, and the norm of gradients moves most by it
        for key, value in kept.items():
            assert line[key] == pytest.approx(value, rel=2e-3 if key == "grad_norm" else 2e-4), key
