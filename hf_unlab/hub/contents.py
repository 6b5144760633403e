"""What of a checkpoint's folder is published: a list of what may be, and nothing else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hf_unlab.hub.loading import Kind, kind_of

# What is never uploaded: raw data, what a run alone needs, and the pickled settings of other trainers, with a token.
NOT_PUBLISHED = ("_*", "checkpoint-*", "training_args.bin")
CARD_NAME = "README.md"

_WEIGHTS = r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
_READERS = (
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config|processor_config|"
    r"image_processor_config|feature_extractor_config)\.json|vocab\.txt|merges\.txt|[\w.-]+\.model|chat_template\.jinja"
)
_OF_ALL = rf"{re.escape(CARD_NAME)}|LICEN[CS]E(\.\w+)?|NOTICE(\.\w+)?|{_READERS}"
# Tables and pictures that recipes, `hf-unlab evaluate` and the card write.
_PROOF = r"few_label\w*\.(json|png)|training\.png|(eval|all)_results\.json|labels\.json|classifier\.json"
_EVALUATION = r"evaluation/(results\.json|[\w-]+\.(slices|confusion|reliability|map)\.png)"
_OF_KIND: dict[Kind, str] = {
    "transformers": rf"config\.json|generation_config\.json|{_WEIGHTS}",
    "sentence-transformers": rf"config\.json|modules\.json|config_sentence_transformers\.json|"
    rf"sentence_bert_config\.json|{_WEIGHTS}|\d+_[A-Za-z]+/(config\.json|{_WEIGHTS}|{_READERS})",
    "open_clip": r"open_clip_config\.json|open_clip_model\.safetensors",
    "peft": r"adapter_config\.json|adapter_model\.safetensors|classifier/config\.json",
}
_REASONS = {
    r"_held_out\.parquet": "raw data",
    r"few_label\w*\.md": "it is on the card",
    r"(.*/)?report\.html": "it shows raw data",
    r"(.*/)?_[^/]*|\.[^/]*": "the run's own",
    r"checkpoint-\d+/.*": "a checkpoint of the run, with optimizer and stream state",
    r"runs/.*|.*tfevents.*": "logs",
    r".*\.(bin|pt|pth|pkl|pickle|joblib|npy|npz|ckpt)": "may hold pickled code",
    r".*\.(jsonl|csv|parquet|arrow|txt|tsv|wav|flac|mp3|ogg|jpg|jpeg)": "data",
    r"encoder/.*": "a copy of the base model",
    r"evaluation/.*": "not shown on the card",
}


@dataclass(frozen=True)
class Contents:
    """What is in a checkpoint's folder.

    Args:
        kind: The library that loads it.
        published: Files that go up, relative to the folder, sorted.
        left_out: The others, and why.
    """

    kind: Kind
    published: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)


def contents_of(folder: str | Path) -> Contents:
    """Tell what may be published of a checkpoint's folder from what may not.

    Links to places outside of the folder are followed only for files that may be published.

    Raises:
        ValueError: There is no checkpoint, its weights are missing, or they are pickled.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("config.json", "model.safetensors", "tokenizer.json", "_held_out.parquet", "notes.txt"):
        ...     _ = (folder / name).write_text("{}")
        >>> contents = contents_of(folder)
        >>> contents.published
        ('config.json', 'model.safetensors', 'tokenizer.json')
        >>> contents.left_out
        {'_held_out.parquet': 'raw data', 'notes.txt': 'data'}
    """
    folder, kind = Path(folder), kind_of(folder)
    published, left_out = [], {}
    for name in _files(folder):
        if is_published(name, kind):
            published.append(name)
        else:
            left_out[name] = _why_not(name)
    if not any(name.endswith(".safetensors") for name in published):
        pickled = [name for name in left_out if re.fullmatch(r"[\w-]*model[\w-]*\.(bin|pt|pth)", name)]
        mend = f"those in {pickled[0]} are pickled; save them with save_pretrained" if pickled else "train it first"
        raise ValueError(f"{folder} has no weights in the safetensors format: {mend}.")
    return Contents(kind, tuple(published), left_out)


def is_published(name: str, kind: Kind) -> bool:
    """Whether a file of a checkpoint of some kind is one that is published.

    Example:
        >>> is_published("1_Pooling/config.json", "sentence-transformers"), is_published("optimizer.pt", "peft")
        (True, False)
    """
    return re.fullmatch(f"{_OF_ALL}|{_PROOF}|{_EVALUATION}|{_OF_KIND[kind]}", name) is not None


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _why_not(name: str) -> str:
    return next((why for pattern, why in _REASONS.items() if re.fullmatch(pattern, name)), "not part of a checkpoint")
