"""How a checkpoint is loaded by whom has never heard of hf_unlab: told from its files, in lines that can be run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hf_unlab.modalities.checkpoint_files import read_object

Kind: TypeAlias = Literal["transformers", "sentence-transformers", "open_clip", "peft"]
# The end of an architecture's name, and of the class of transformers that loads it with its head -> what the head
# does, by the Hub's name.
_HEADS = {
    "MaskedLM": "fill-mask",
    "SequenceClassification": "text-classification",
    "AudioClassification": "audio-classification",
    "ImageClassification": "image-classification",
    "CTC": "automatic-speech-recognition",
}
_PROCESSORS = {
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
    "image_processor": "AutoImageProcessor",
    "processor": "AutoProcessor",
}


@dataclass(frozen=True)
class Loading:
    """How a checkpoint is loaded.

    Args:
        kind: The library that loads it.
        lines: Python that does, and defines `model` and what makes its inputs.
        inputs: The names that make them: "tokenizer", "feature_extractor", "image_processor", "processor",
            "preprocess"; "model" where it reads texts itself.
        base: Of an adapter, the Hub id of the model that it belongs to.
        task: What its head does, by the Hub's name; "" where it has none.
    """

    kind: Kind
    lines: str
    inputs: str
    base: str = ""
    task: str = ""


def kind_of(folder: str | Path) -> Kind:
    """The library that loads a checkpoint.

    Raises:
        ValueError: There is no checkpoint.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.json").write_text("{}")
        >>> kind_of(folder)
        'transformers'
    """
    marks: dict[str, Kind] = {
        "adapter_config.json": "peft",
        "open_clip_config.json": "open_clip",
        "modules.json": "sentence-transformers",
        "config.json": "transformers",
    }
    for name, kind in marks.items():
        if (Path(folder) / name).is_file():
            return kind
    raise ValueError(f"{folder} is no checkpoint: it has none of {', '.join(marks)}. Give a folder that a run wrote.")


def loading_of(folder: str | Path, name: str | None = None) -> Loading:
    """The lines that load a checkpoint.

    Args:
        folder: Of the checkpoint.
        name: What the lines call it, such as a Hub id; by default the folder.

    Raises:
        ValueError: There is no checkpoint, or none that a library loads by itself.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "modules.json").write_text("[]")
        >>> print(loading_of(folder, "me/reviews").lines)
        from sentence_transformers import SentenceTransformer
        <BLANKLINE>
        model = SentenceTransformer("me/reviews")
    """
    folder, kind = Path(folder), kind_of(folder)
    called = str(folder) if name is None else name
    if kind == "open_clip":
        where = "local-dir" if name is None or Path(called).is_dir() else "hf-hub"
        return Loading(kind, _OPEN_CLIP.format(name=f"{where}:{called}"), "preprocess")
    if kind == "sentence-transformers":
        lines = f'from sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer("{called}")'
        return Loading(kind, lines, "model")
    inputs = _inputs_of(folder)
    if kind == "peft":
        return _adapter(folder, called, inputs)
    auto, task = _auto_class(read_object(folder, "config.json"))
    lines = (
        f"from transformers import {auto}, {_PROCESSORS[inputs]}\n\n"
        f'{inputs} = {_PROCESSORS[inputs]}.from_pretrained("{called}")\n'
        f'model = {auto}.from_pretrained("{called}")'
    )
    return Loading(kind, lines, inputs, task=task)


_OPEN_CLIP = """import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("{name}")
tokenizer = open_clip.get_tokenizer("{name}")"""


def _adapter(folder: Path, called: str, inputs: str) -> Loading:
    base = read_object(folder, "adapter_config.json").get("base_model_name_or_path") or ""
    config = read_object(folder, "classifier/config.json")
    if not config:
        raise ValueError(
            f"The adapter in {folder} belongs to a classifier that no library has a class for (the encoder of an "
            "open_clip or CLIP model with a head): hf_unlab alone loads it (`hf-unlab predict`). Publish the encoder."
        )
    (auto, task), base = _auto_class(config), base or "THE BASE MODEL"
    lines = (
        f"from peft import PeftModel\nfrom transformers import AutoConfig, {auto}, {_PROCESSORS[inputs]}\n\n"
        f'{inputs} = {_PROCESSORS[inputs]}.from_pretrained("{called}")\n'
        f'config = AutoConfig.from_pretrained("{called}", subfolder="classifier")\n'
        f'base = {auto}.from_pretrained("{base}", config=config)\n'
        f'model = PeftModel.from_pretrained(base, "{called}")'
    )
    return Loading("peft", lines, inputs, base, task)


def _inputs_of(folder: Path) -> str:
    preprocessor = read_object(folder, "preprocessor_config.json")
    has_tokenizer = any((folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json"))
    if "feature_extractor_type" in preprocessor:
        return "processor" if has_tokenizer else "feature_extractor"
    if preprocessor or (folder / "processor_config.json").exists():
        return "processor" if has_tokenizer or not preprocessor else "image_processor"
    return "tokenizer"


def _auto_class(config: dict[str, Any]) -> tuple[str, str]:
    """The class that loads it, and what its head does."""
    architecture = (config.get("architectures") or [""])[0]
    head = next((head for head in _HEADS if architecture.endswith(f"For{head}")), None)
    return (f"AutoModelFor{head}", _HEADS[head]) if head else ("AutoModel", "")


_TITLES = {"transformers": "plain transformers", "open_clip": "plain open_clip", "peft": "plain peft"}


def how_to_load(checkpoint: str) -> str:
    """The library of a checkpoint, and the lines that load it without hf_unlab, for the end of a run's output."""
    loading = loading_of(checkpoint)
    lines = "\n".join(f"    {line}" if line else "" for line in loading.lines.splitlines())
    return f"{_TITLES.get(loading.kind, loading.kind)}:\n\n{lines}"
