"""Numbers as a card writes them, and what a checkpoint is, in words, from its own files."""

import json
import math
import struct
from pathlib import Path
from typing import Any

from hf_unlab.hub.loading import Kind
from hf_unlab.modalities.checkpoint_files import read_object


def duration(seconds: float) -> str:
    """A time in the two largest of its units.

    Example:
        >>> duration(42.4), duration(725), duration(7325), duration(180_000)
        ('42 s', '12 min 5 s', '2 h 2 min', '2 d 2 h')
    """
    units, left = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)], round(seconds)
    counts = []
    for name, size in units:
        counts.append((left // size, name))
        left %= size
    first = next((index for index, (count, _) in enumerate(counts) if count), len(units) - 1)
    told = counts[first : first + 2]
    return " ".join(f"{count} {name}" for count, name in told if count or len(told) == 1)


def energy(joules: tuple[float, float]) -> str:
    """Energy in watt-hours, or a range of it.

    Example:
        >>> energy((3600, 3600)), energy((36_000_000, 72_000_000))
        ('1 Wh', '10 to 20 kWh')
    """
    low, high = (value / 3600 for value in joules)
    unit, scale = ("kWh", 1000) if high >= 1000 else ("Wh", 1)
    texts = [_significant(value / scale) for value in (low, high)]
    return f"{texts[0]} {unit}" if texts[0] == texts[1] else f"{texts[0]} to {texts[1]} {unit}"


def _significant(value: float, digits: int = 2) -> str:
    """Rounded to so many digits, without an exponent.

    Example:
        >>> _significant(0.01234), _significant(123.4)
        ('0.012', '120')
    """
    if not value:
        return "0"
    return f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):,.6f}".rstrip("0").rstrip(".")


def short_count(count: float) -> str:
    """A count with its thousands or millions.

    Example:
        >>> short_count(950), short_count(7_300_000), short_count(7_680_000_000)
        ('950', '7.3 million', '7.68 billion')
    """
    for name, size in (("billion", 1e9), ("million", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {name}" if count < 10 * size else f"{count / size:,.0f} {name}"
    return f"{count:,.0f}"


def num_parameters(folder: str | Path, files: tuple[str, ...]) -> int:
    """Numbers in the weights, from the headers of their files (https://huggingface.co/docs/safetensors)."""
    total = 0
    for name in files:
        if name.endswith(".safetensors"):
            total += sum(math.prod(one["shape"]) for one in _header(Path(folder) / name).values())
    return total


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            content = json.loads(file.read(length))
    except (struct.error, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path} is damaged: it has no header of safetensors ({error}).") from error
    return {name: one for name, one in content.items() if name != "__metadata__"}


def architecture(folder: str | Path, kind: Kind) -> str:
    """What a checkpoint is, in words.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> config = {"model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 2, "hidden_size": 64}
        >>> _ = (folder / "config.json").write_text(json.dumps(config))
        >>> architecture(folder, "transformers")
        'BertModel, 2 layers of width 64'
    """
    folder = Path(folder)
    if kind == "open_clip":
        config = read_object(folder, "open_clip_config.json").get("model_cfg", {})
        vision, text = (config.get(name, {}) for name in ("vision_cfg", "text_cfg"))
        tower = vision.get("timm_model_name") or _size(vision.get("layers"), vision.get("width"))
        parts = (f"images: {tower}" * bool(tower), f"texts: {_size(text.get('layers'), text.get('width'))}")
        return ", ".join(["dual encoder", *(part for part in parts if part)])
    if kind == "peft":
        config = read_object(folder, "adapter_config.json")
        base = read_object(folder, "classifier/config.json")
        rank = f" of rank {config['r']}" if config.get("r") else ""
        return f"{config.get('peft_type', '')} adapter{rank} of {_transformers(base)}"
    if kind == "sentence-transformers" and not (folder / "config.json").exists():
        shape = next(iter(_header(folder / "model.safetensors").values()))["shape"]
        return f"static table of {shape[0]:,} embeddings of width {shape[1]}"
    return _transformers(read_object(folder, "config.json"))


def _transformers(config: dict[str, Any]) -> str:
    name = (config.get("architectures") or [config.get("model_type", "model")])[0]
    size = _size(config.get("num_hidden_layers"), config.get("hidden_size"))
    return f"{name}, {size}" if size else name


def _size(num_layers: Any, width: Any) -> str:
    if not num_layers or not width:
        return ""
    return f"{num_layers} layer{'s' * (num_layers != 1)} of width {width}"
