"""The card of a published model: all that is computed of it, in one form for all, from the templates in model_cards/.

Nothing is written on a card that was not read from the checkpoint's files, the facts of its run or its measures.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hf_unlab.evaluation.plots import plot_curves
from hf_unlab.hub.contents import Contents
from hf_unlab.hub.evaluated import evaluation_of
from hf_unlab.hub.facts import RunFacts, SourceFacts, read_facts
from hf_unlab.hub.loading import Loading, loading_of
from hf_unlab.hub.proof import eval_results, proofs_of
from hf_unlab.hub.resources import model_card_path
from hf_unlab.hub.wording import architecture, duration, energy, num_parameters, short_count
from hf_unlab.modalities.checkpoint_files import read_object
from hf_unlab.modalities.detect import modality_of
from hf_unlab.streams.builders import BUILDERS

CURVES_NAME = "training.png"
_OF_MODALITY = {
    "text": "feature-extraction",
    "audio": "feature-extraction",
    "image": "image-feature-extraction",
    "image_text": "zero-shot-image-classification",
}
# What labels of a table make of the data: the Hub's name of the task that is measured.
_CLASSIFIED = {
    "text": "text-classification",
    "audio": "audio-classification",
    "image": "image-classification",
    "image_text": "image-classification",
}
_MARK = re.compile(r"\n<!-- made by hf_unlab: ([0-9a-f]{16}) -->\n?$")
_SPDX_LIKE = re.compile(r"[a-z0-9][a-z0-9.+_-]*")


@dataclass(frozen=True)
class CardSettings:
    """What the publisher says of a model, as no file can.

    Args:
        licence: The Hub's name of it, such as "apache-2.0"; "other" wants a file LICENSE beside the checkpoint.
        languages: ISO codes of those in the data.
        base_model: The Hub id of what the model was made from, if it was.
        description: A paragraph below the title.
    """

    licence: str | None = None
    languages: tuple[str, ...] = ()
    base_model: str | None = None
    description: str = ""


def make_card(
    folder: str | Path,
    contents: Contents,
    repo_id: str,
    settings: CardSettings,
    *,
    run: str | Path | None = None,
) -> str:
    """The card of a checkpoint, README.md of its repository.

    Args:
        folder: Of the checkpoint.
        contents: What of it is published.
        repo_id: Where it is published.
        settings: What the publisher says.
        run: The folder with what is told and not published, the run's facts and rendered tables; by default the same.

    Raises:
        ValueError: There is no licence, or a file that the card reads is damaged.
    """
    folder, run = Path(folder), Path(run or folder)
    facts = read_facts(run) or RunFacts()
    name = repo_id.rpartition("/")[2]
    loading, modality = loading_of(folder, repo_id), _modality(folder, contents)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(model_card_path()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown
    )
    environment.filters |= {"duration": duration, "energy": energy, "count": short_count, "cell": _cell}
    classifier = read_object(folder, "classifier.json")
    text = environment.get_template(f"{modality}.md").render(
        data=card_data(folder, contents, repo_id, settings, loading, facts).to_yaml(),
        title=name,
        repo_id=repo_id,
        settings=settings,
        kind=contents.kind,
        loading=loading,
        architecture=architecture(folder, contents.kind),
        num_parameters=num_parameters(folder, contents.published),
        facts=facts,
        classifier=classifier,
        metrics=_told(classifier.get("metrics") or {}) or _told(facts.metrics),
        proofs=proofs_of(run),
        evaluation=evaluation_of(folder),
        curves=CURVES_NAME if CURVES_NAME in contents.published else None,
    )
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return f"{text}\n<!-- made by hf_unlab: {_digest(text)} -->\n"


def card_data(
    folder: str | Path, contents: Contents, repo_id: str, settings: CardSettings, loading: Loading, facts: RunFacts
) -> ModelCardData:
    """The card's metadata, by which the Hub finds, loads and compares models.

    Raises:
        ValueError: There is no licence.
    """
    if not settings.licence:
        raise ValueError(
            "A model needs a licence, or nobody may use it: give --licence apache-2.0, or another of "
            "https://huggingface.co/docs/hub/repositories-licenses."
        )
    if not _SPDX_LIKE.fullmatch(settings.licence):
        raise ValueError(
            f"The licence {settings.licence!r} is none of the Hub's names, such as apache-2.0, mit, cc-by-4.0 or "
            "other: see https://huggingface.co/docs/hub/repositories-licenses."
        )
    modality = _modality(Path(folder), contents)
    results: list[EvalResult] = eval_results(folder, _CLASSIFIED[modality])
    more: dict[str, Any] = {}
    if settings.licence == "other":
        more = {"license_name": repo_id.rpartition("/")[2].lower(), "license_link": "LICENSE"}
    return ModelCardData(
        license=settings.licence,
        language=list(settings.languages) or None,
        library_name=contents.kind,
        pipeline_tag=_pipeline(loading, contents, modality),
        tags=["hf_unlab", "unlabelled-data", *(["few-shot"] if results else []), *_objective_tag(facts)],
        datasets=hub_datasets(facts.sources) or None,
        base_model=settings.base_model or loading.base or None,
        model_name=repo_id.rpartition("/")[2] if results else None,
        eval_results=results or None,
        **more,
    )


def _objective_tag(facts: RunFacts) -> list[str]:
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z]|\b)|[A-Z][a-z0-9]*", facts.trainer.removesuffix("Trainer"))
    return ["-".join(words).lower()] if words else []


def hub_datasets(sources: Sequence[SourceFacts]) -> list[str]:
    """The Hub ids among what was trained on.

    Example:
        >>> hub_datasets([SourceFacts("imdb", "stanfordnlp/imdb"), SourceFacts("x", "json"), SourceFacts("y")])
        ['stanfordnlp/imdb']
    """
    return [one.path for one in sources if re.fullmatch(r"[\w.-]+/[\w.-]+", one.path) and one.path not in BUILDERS]


def write_curves(folder: str | Path, target: str | Path) -> bool:
    """Draw the losses of a run beside its card; whether there were any.

    Args:
        folder: Of the run.
        target: The picture.
    """
    facts = read_facts(folder)
    history = facts.history if facts else []
    steps = {name: {entry.get("step") for entry in history if name in entry} for name in ("loss", "eval_loss")}
    names = [name for name, found in steps.items() if len(found) > 1]
    if names:
        plot_curves(history, names, target)
    return bool(names)


def read_card(path: str | Path) -> ModelCard:
    """A card that somebody wrote.

    Raises:
        ValueError: Its metadata is no YAML, or it has no licence.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        card = ModelCard(text)
    except (ValueError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"The metadata of {path} cannot be read: {' '.join(str(error).split())}") from error
    if not card.data.get("license"):
        raise ValueError(f"{path} names no licence: put `license: ...` between the lines --- at its top.")
    return card


def is_ours(text: str) -> bool:
    """Whether a card was made here and nobody has changed it since, so that it may be made anew.

    Example:
        >>> is_ours("my own card")
        False
    """
    mark = _MARK.search(text)
    return mark is not None and _digest(text[: mark.start()]) == mark[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pipeline(loading: Loading, contents: Contents, modality: str) -> str:
    if contents.kind == "sentence-transformers":
        return "sentence-similarity"
    return loading.task or _OF_MODALITY[modality]


def _modality(folder: Path, contents: Contents) -> str:
    return modality_of(folder / "classifier" if contents.kind == "peft" else folder)


def _told(metrics: dict[str, Any]) -> dict[str, str]:
    """Numbers as a table shows them."""
    values = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return {
        name.removeprefix("eval_").replace("_", " "): f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        for name, value in values.items()
    }


def _cell(value: Any) -> str:
    """In a cell of a Markdown table."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
