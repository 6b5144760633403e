"""Runs lines that load a model, as a reader of its card would, and writes down what it says to fixed inputs.

A script by itself, run in a process of its own where hf_unlab cannot be imported. It loads twice, with other random
numbers: weights that are missing from the files are drawn anew each time, and then the answers differ.
"""

import json
import sys
from typing import Any

import numpy as np
import torch

TEXTS = ["The river was high that spring, and nobody crossed it.", "return the mean of the given values", "Yes!"]


def main() -> None:
    """Reads {"lines": ..., "target": FILE.npz} from standard input; says what is amiss on standard output."""
    sys.modules["hf_unlab"] = None  # type: ignore[assignment]
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)
    first, second = (_answers(asked["lines"], seed) for seed in (0, 1))
    unlike = [name for name in first if not np.array_equal(first[name], second[name], equal_nan=True)]
    np.savez(asked["target"], **first)
    print(json.dumps({"unlike": unlike, "not_finite": [name for name in first if not np.isfinite(first[name]).all()]}))


def _answers(lines: str, seed: int) -> dict[str, np.ndarray]:
    torch.manual_seed(seed)
    names: dict[str, Any] = {}
    exec(lines, names)
    return answers(names)


@torch.inference_mode()
def answers(names: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a model says to the fixed inputs, in single precision.

    Args:
        names: What the lines defined: `model`, and what makes its inputs.
    """
    model = names["model"]
    model.eval()
    if "preprocess" in names:
        pixels = torch.stack([names["preprocess"](image) for image in _images()])
        features = model.encode_image(pixels), model.encode_text(names["tokenizer"](TEXTS))
        return {"images": _plain(features[0]), "texts": _plain(features[1])}
    if hasattr(model, "encode") and not names.keys() & {"tokenizer", "feature_extractor", "image_processor"}:
        return {"embeddings": np.asarray(model.encode(TEXTS), dtype=np.float32)}
    inputs = _inputs(names)
    output = model(**inputs)
    if "logits_per_image" in output:
        return {"scores": _plain(output.logits_per_image), "images": _plain(output.image_embeds)}
    answer = output.logits if "logits" in output else output[0]
    if "attention_mask" in inputs and answer.ndim == 3 and answer.shape[:2] == inputs["attention_mask"].shape:
        answer = answer * inputs["attention_mask"][..., None]
    return {"output": _plain(answer)}


def _inputs(names: dict[str, Any]) -> Any:
    if "feature_extractor" in names:
        extractor = names["feature_extractor"]
        rate = extractor.sampling_rate
        wave = np.random.default_rng(0).standard_normal(2 * rate).astype(np.float32) * 0.1
        return extractor([wave, wave[: rate // 2 * 3]], sampling_rate=rate, return_tensors="pt", padding=True)
    if "image_processor" in names:
        return names["image_processor"](_images(), return_tensors="pt")
    if "processor" in names:
        return names["processor"](text=TEXTS, images=_images(), padding=True, truncation=True, return_tensors="pt")
    tokenizer = names["tokenizer"]
    if tokenizer.pad_token is None:
        return tokenizer(TEXTS[0], truncation=True, return_tensors="pt")
    return tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")


def _images() -> list[Any]:
    from PIL import Image

    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (64, 48, 3), dtype=np.uint8)) for _ in range(2)]


def _plain(values: torch.Tensor) -> np.ndarray:
    return values.float().cpu().numpy()


if __name__ == "__main__":
    main()
