"""What the ways of pretraining on text are worth for the same CPU time: a table in Markdown, and JSON.

    python -m tests.benchmarks.equal_minutes FOLDER imdb [--minutes 1 5 20] [--ways NAMES]

FOLDER/NAME is as for text_sets.py. The minutes are those of training steps, with what reading and collating cost: two
short runs tell how many there are. A recipe's start (imports, a tokenizer) and end come on top. A way of two stages
gives half of the minutes to each, but for the static table, which is done when it has read its data six times, and is
counted wholly.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hf_unlab.modalities.text.settings import TextFewLabelSettings
from tests.benchmarks.text_sets import markdown, measure

MASKED_LM, CONTRASTIVE = "masked_lm/tiny.yaml", "text_contrastive/transformer.yaml"
STATIC = "text_contrastive/tiny.yaml"
# The stages of a way: a YAML file, and what it is told of the folder of the stage before it. One shape of transformer
# and one vocabulary in all.
WAYS: dict[str, list[tuple[str, list[str]]]] = {
    "static": [(STATIC, [])],
    "masked LM": [(MASKED_LM, [])],
    "contrastive": [(CONTRASTIVE, [])],
    "masked LM, then contrastive": [(MASKED_LM, []), (CONTRASTIVE, ["--model", "{before}"])],
    "static, then contrastive": [
        (STATIC, ["--tokenizer", "bpe", "--vocab_size", "8192"]),
        (CONTRASTIVE, ["--initial_embeddings", "{before}"]),
    ],
}
SHORT, LONGER = 20, 6  # steps of a first run, and how many times those of a second: imports vary by seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 5, 20])
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    results = {}
    for name in args.names:
        folder = Path(args.folder) / name
        for minutes in args.minutes:
            for way in args.ways:
                with tempfile.TemporaryDirectory() as scratch:
                    checkpoint, used = pretrained(way, 60 * minutes, folder, Path(scratch))
                    settings = TextFewLabelSettings(few_label_max_test=1000, few_label_max_length=128)
                    measured = measure(folder, name, settings, [0], [], str(checkpoint))
                title = f"{name}, {way}, {minutes:g} min ({used / 60:.1f} trained)"
                results[title] = measured["rows"]
                print(markdown(title, measured), flush=True)
    print(json.dumps(results, indent=1))


def pretrained(way: str, seconds: float, folder: Path, scratch: Path) -> tuple[Path, float]:
    """The folder of the last stage, and the CPU seconds of training of all."""
    before, used = Path(), 0.0  # both of the stages so far
    stages = WAYS[way]
    for number, (recipe, options) in enumerate(stages):
        told = [option.format(before=before) for option in options]
        before = scratch / str(number)
        if recipe == STATIC:
            used += run(recipe, folder, before, told)
            continue
        left = (seconds - used) / (len(stages) - number)
        short, long = (
            run(recipe, folder, scratch / f"try{number}_{times}", [*told, "--max_steps", str(times * SHORT)])
            for times in (1, LONGER)
        )
        each = max((long - short) / ((LONGER - 1) * SHORT), 1e-3)
        num_steps = max(SHORT, int(left / each))
        passes = [] if recipe == MASKED_LM else ["--max_passes", "1000"]
        whole = run(recipe, folder, before, [*told, *passes, "--max_steps", str(num_steps)])
        used += left
        print(f"{recipe}: {num_steps} steps, {whole:.0f} s in all", file=sys.stderr, flush=True)
    return before, used


def run(recipe: str, folder: Path, output: Path, options: list[str]) -> float:
    """CPU seconds."""
    place = f"recipes/{recipe.split('/')[0]}"
    data = ["--dataset", "builtin:docstrings"] if folder.name == "docstrings" else ["--dataset", "json"]
    data += [] if folder.name == "docstrings" else ["--data_files", str(folder / "unlab*.jsonl")]
    data += ["--few_label_max_test", "1", "--few_label_seeds", "0"] if folder.name == "docstrings" else []
    command = [sys.executable, f"{place}/pretrain.py", "--config", f"recipes/{recipe}", *data]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--output_dir", str(output), *options], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(np.sum([after.ru_utime, after.ru_stime]) - np.sum([before.ru_utime, before.ru_stime]))


if __name__ == "__main__":
    main()
