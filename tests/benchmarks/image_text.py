"""Image-text training beside open_clip's own trainer, and the memory of a large batch.

Each measurement is a process of its own: `python -m tests.benchmarks.image_text WHAT FOLDER` prints one line of JSON.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import open_clip
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.tiny_clip import tiny_clip, train_caption_tokenizer
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_pairs
from tests.benchmarks.timing import report

NUM_WARM_UP, NUM_WORKERS, ROUNDS = 4, 2, 3
# Compute-bound: a large model of small pictures. Decode-bound: a small model of large ones. Both at 64 pixels.
CASES = {
    "compute-bound": {"pixels": (64, 64), "width": 256, "layers": 6, "batch_size": 64, "num_steps": 20},
    "decode-bound": {"pixels": (1280, 960), "width": 32, "layers": 1, "batch_size": 32, "num_steps": 30},
}
NUM_PAIRS = 512


def throughput():
    """Pairs a second, on the same images, model, precision, batches, workers and clipping."""
    if not all(map(find_spec, ("braceexpand", "webdataset"))):
        print("\nopen_clip_train needs braceexpand and webdataset (the dev extra); not measured")
        return
    for case, wanted in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            _write_images(Path(folder), wanted)
            rates = {"open_clip_train": [], "ImageTextContrastiveTrainer": []}
            for _ in range(ROUNDS):
                rates["open_clip_train"].append(_measure("theirs", case, folder))
                rates["ImageTextContrastiveTrainer"].append(_measure("ours", case, folder))
        medians = {name: float(np.median(values)) for name, values in rates.items()}
        width, height = wanted["pixels"]
        title = f"Image-text step, {case}: JPEG of {width} x {height} at 64 pixels, ViT of {wanted['layers']} layers"
        report(f"{title} x {wanted['width']}, batch {wanted['batch_size']}, {NUM_WORKERS} workers", medians, "pairs/s")


def memory():
    """Peak resident memory of a batch of 128, and of 4,096 in 32 micro-batches, of tiny-groupnorm."""
    sizes = {}
    for batch_size in (128, 4096):
        with tempfile.TemporaryDirectory() as folder:
            sizes[batch_size] = _measure("memory", str(batch_size), folder)
    print("\nPeak resident memory of image-text training, tiny-groupnorm, micro-batches of 128")
    for batch_size, mebibytes in sizes.items():
        print(f"  batch {batch_size:<38,}{mebibytes:>12,.0f} MiB        x {mebibytes / sizes[128]:.2f}")


def _measure(what, *arguments):
    command = [sys.executable, "-m", "tests.benchmarks.image_text", what, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def _write_images(folder, wanted):
    """JPEG files of smooth noise, and a table of them that both trainers read."""
    rng = np.random.default_rng(0)
    lines = ["filepath,title"]
    for number in range(NUM_PAIRS):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        path = folder / f"{number}.jpg"
        coarse.resize(wanted["pixels"], Image.Resampling.BICUBIC).save(path, quality=90)
        lines.append(f"{path},a picture with the number {number}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    width, layers = wanted["width"], wanted["layers"]
    config = {
        "embed_dim": width,
        "vision_cfg": {"image_size": 64, "layers": layers, "width": width, "head_width": 32, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": width, "heads": width // 32, "layers": 1},
    }
    (folder / "bench-vit.json").write_text(json.dumps(config))


class _StepTimes:
    """When each optimizer step ended: the same clock for both trainers."""

    def __init__(self):
        self.times = []
        register_optimizer_step_post_hook(lambda *_: self.times.append(time.perf_counter()))

    def pairs_per_second(self, batch_size):
        return (len(self.times) - 1 - NUM_WARM_UP) * batch_size / (self.times[-1] - self.times[NUM_WARM_UP])


def theirs(case, folder):
    """open_clip_train's main."""
    from open_clip_train.main import main

    wanted, clock = CASES[case], _StepTimes()
    open_clip.add_model_config(Path(folder))
    epochs = -(-wanted["num_steps"] * wanted["batch_size"] // NUM_PAIRS)
    settings = {
        "train-data": f"{folder}/pairs.csv",
        "dataset-type": "csv",
        "csv-separator": ",",
        "model": "bench-vit",
        "batch-size": wanted["batch_size"],
        "epochs": epochs,
        "workers": NUM_WORKERS,
        "precision": "fp32",
        "lr": 1e-4,
        "warmup": 1,
        "grad-clip-norm": 1.0,
        "logs": f"{folder}/logs",
        "save-frequency": 0,
        "device": "cpu",
        "log-every-n-steps": 1000,
    }
    main([part for name, value in settings.items() for part in (f"--{name}", str(value))])
    print(json.dumps(clock.pairs_per_second(wanted["batch_size"])))


def ours(case, folder):
    """ImageTextContrastiveTrainer."""
    wanted, clock = CASES[case], _StepTimes()
    open_clip.add_model_config(Path(folder))
    with tempfile.TemporaryDirectory() as output_dir:
        args = ImageTextContrastiveTrainingArguments(
            output_dir,
            max_steps=-(-wanted["num_steps"] * wanted["batch_size"] // NUM_PAIRS) * NUM_PAIRS // wanted["batch_size"],
            per_device_train_batch_size=wanted["batch_size"],
            dataloader_num_workers=NUM_WORKERS,
            num_readers=2,
            precision="fp32",
            learning_rate=1e-4,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        columns = {"image": "filepath", "text": "title"}
        source = Source("csv", data_files=f"{folder}/pairs.csv", columns=columns)
        model = load_dual_encoder("open_clip:bench-vit")
        ImageTextContrastiveTrainer(model, args, source, eval_dataset=source).train()
    print(json.dumps(clock.pairs_per_second(wanted["batch_size"])))


def peak(batch_size):
    """Peak resident memory of reading 96 micro-batches of 128 pairs, however many make a step, in MiB."""
    micro_batch, num_pairs = 128, 4 * 4096 + 1000
    num_accumulated = int(batch_size) // micro_batch
    tokenizer = train_caption_tokenizer([f"a red square {number}" for number in range(1000)])
    with tempfile.TemporaryDirectory() as output_dir:
        args = ImageTextContrastiveTrainingArguments(
            output_dir,
            max_steps=96 // num_accumulated,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=num_accumulated,
            num_readers=32,
            precision="fp32",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        ImageTextContrastiveTrainer(tiny_clip(tokenizer, batch_norm=False), args, tiny_pairs(num_pairs, 32)).train()
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(kibibytes / 1024))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    {"theirs": theirs, "ours": ours, "memory": lambda size, _: peak(size)}[what](*arguments)
