"""Which recipe data goes through, with which settings, about how long that takes, and why."""

from dataclasses import dataclass, field
from typing import Any

from hf_unlab.app.start.decoding import Tried
from hf_unlab.app.start.reading import Sample
from hf_unlab.app.start.roles import Roles
from hf_unlab.app.start.sizing import FEW_EXAMPLES, Size, fit, seconds, settings_of
from hf_unlab.app.yaml_values import read_yaml
from hf_unlab.hub.resources import recipe_path

WHY = {
    "text": "text_contrastive: parts of a text find one another among those of all others. Ahead of TF-IDF on five of "
    "six sets that were tried",
    "image_text": "image_text: images and captions find one another. Ahead of raw pixels at any number of labels",
    "audio": "best_rq (hidden frames are told by random codes), and then clusters of whole recordings. Ahead of "
    "log-mel spectra on spoken digits, where speakers are named",
    "image": "clusters of the model's own features, as there are no captions. From random weights these were behind "
    "raw pixels: better name an encoder that is pretrained (model, in the file)",
}
_RECIPES = {"text": ("text_contrastive",), "image_text": ("image_text",), "audio": ("best_rq", "clusters")}
_MODELS = {
    "text_contrastive": "a table of words; or go on from sentence-transformers/all-MiniLM-L6-v2, ...",
    "image_text": "or go on from a checkpoint: open_clip:hf-hub:NAME, a CLIP of transformers, ...",
    "clusters_images": "better one that is pretrained: facebook/dinov2-small, ...",
}
_LONGEST_CLIP = 10.0


@dataclass(frozen=True)
class Stage:
    """One launch of a recipe.

    Args:
        recipe: Its folder.
        base: The YAML file of it whose settings are changed.
        changes: Settings that it has otherwise, or not at all; those of the data come first.
        dropped: Settings of it that go.
        comments: What stands above a setting.
    """

    recipe: str
    base: str
    changes: dict[str, Any]
    dropped: tuple[str, ...] = ("data", "eval_data")
    comments: dict[str, list[str]] = field(default_factory=dict)

    @property
    def output_dir(self) -> str:
        """Where its checkpoint goes."""
        return str(self.changes["output_dir"])


@dataclass(frozen=True)
class Plan:
    """What is to be done with data.

    Args:
        stages: Launches, one behind the other.
        seconds: About how long all take.
        why: The recipe, in words.
        notes: What else should be known, sentence by sentence.
    """

    stages: tuple[Stage, ...]
    seconds: float
    why: str
    notes: tuple[str, ...]


def make_plan(
    sample: Sample, roles: Roles, tried: Tried, labelled: dict[str, Any], output_dir: str, slower: float = 1.0
) -> Plan:
    """Choose recipes and settings.

    Args:
        sample: Rows of the data, and how many there are.
        roles: What is read as what.
        tried: What came of decoding some.
        labelled: Settings of labelled data, for the last stage.
        output_dir: Where the checkpoint goes.
        slower: How much slower than others this machine is.

    Raises:
        ValueError: There is too little data.
    """
    names = _RECIPES.get(roles.modality, ("clusters_images",))
    stages: list[Stage] = []
    total = 0.0
    for name in names:
        is_last = name == names[-1]
        recipe, base = ("clusters", "images.yaml") if name == "clusters_images" else (name, "tiny.yaml")
        given = read_yaml(recipe_path(recipe, base))
        size = fit(name, sample.number, given.get("validation_fraction", 0.01))
        changes = {"output_dir": output_dir if is_last else f"{output_dir}_{name}"} | data_settings(sample, roles)
        if recipe == "clusters" and roles.modality == "audio":
            changes["model"] = stages[0].output_dir
        changes |= _of_sound(roles, name, tried) if roles.modality == "audio" else {}
        changes |= _of_clusters(given, sample.number) | settings_of(size, given)
        if tried.bad_share > 0.005:
            changes["max_bad_fraction"] = round(min(0.9, 2 * tried.bad_share + 0.02), 2)
        comments = {"max_steps": [_length(name, size, sample, roles)]} | _comments(name, sample, roles)
        dropped = ("data", "eval_data", "labelled_group_column")
        if is_last:
            changes |= labelled
        stages.append(Stage(recipe, base, changes, dropped, comments))
        total += seconds(name, size, tried.seconds, bool(labelled) and is_last, slower)
    return Plan(tuple(stages), total, WHY[roles.modality], tuple(_notes(sample, roles, tried)))


def data_settings(sample: Sample, roles: Roles) -> dict[str, Any]:
    """The settings that name the raw data, as any recipe has them.

    Example:
        >>> from hf_unlab.app.start.columns import Column
        >>> from hf_unlab.streams.sources import Source
        >>> sample = Sample(Source("csv", data_files=["reviews.csv"]), [], {}, 100, True)
        >>> data_settings(sample, Roles("text", text=Column("body", "text")))
        {'dataset': 'csv', 'data_files': ['reviews.csv'], 'text_column': 'body'}
    """
    source = sample.source
    said = {
        "dataset": source.path,
        "data_dir": source.data_dir,
        "data_files": source.data_files,
        "split": source.split,
        "data_options": source.options,
        "on_broken": source.on_broken if source.on_broken != "stop" else None,
    }
    columns = {f"{role}_column": column.name for role, column in roles.read.items()}
    return {name: value for name, value in said.items() if value} | columns


def _of_sound(roles: Roles, recipe: str, tried: Tried) -> dict[str, Any]:
    """By speaker where these are named, else by clip; and no more of a recording than there is."""
    changes: dict[str, Any] = {"group_column": roles.group.name if roles.group else None}
    if roles.group is None:
        changes["normalise"] = "clip"
        if recipe == "clusters":
            changes["balance"] = "none"
        else:
            del changes["group_column"]
    if tried.clip_seconds > 4.0:
        changes["max_seconds"] = min(_LONGEST_CLIP, float(-(-tried.clip_seconds // 1)))
    return changes


def _of_clusters(given: dict[str, Any], number: int) -> dict[str, Any]:
    """No more clusters than give each some ten examples."""
    sizes = given.get("cluster_sizes", [])
    if not sizes or number >= 12 * max(sizes):
        return {}
    most = max(4, number // 12)
    return {"cluster_sizes": sorted({max(2, most // 4), max(3, most // 2), most})}


def _length(name: str, size: Size, sample: Sample, roles: Roles) -> str:
    read, there = size.num_read, sample.number
    if name in ("best_rq", "clusters"):
        return "more steps are worth their time as long as the table gets better"
    if read < there:
        return f"they read about {read:,} examples of {there:,}: raise max_steps for more"
    return f"about {max(1, round(read / max(1, there)))} times all examples"


def _comments(name: str, sample: Sample, roles: Roles) -> dict[str, list[str]]:
    """What else was seen, above the setting that it could be the value of."""
    first = next(iter(roles.read))
    others = []
    for column in roles.others():
        value = f": {column.example}" if column.example and column.kind in ("text", "number") else f" ({column.kind})"
        others.append(f"  {column.name}{value}")
    comments = {f"{first}_column": ["other columns that were seen:", *others[:12]]} if others else {}
    texts = [column.name for column in roles.others() if column.kind == "text" and column.num_words >= 3]
    if name == "text_contrastive" and texts and roles.text is not None:
        pair = f"or pairs that belong together: anchor_column: {texts[0]}, positive_column: {roles.text.name}"
        comments.setdefault("text_column", []).append(pair)
    if name in _MODELS:
        comments["model"] = [_MODELS[name]]
    return comments


def _notes(sample: Sample, roles: Roles, tried: Tried) -> list[str]:
    notes = []
    if sample.broken:
        notes.append(f"Broken lines are skipped and counted (on_broken). {sample.broken}.")
    if sample.number < FEW_EXAMPLES:
        noun = {"text": "texts", "image": "images", "image_text": "pairs", "audio": "recordings"}[roles.modality]
        notes.append(f"{sample.number:,} {noun} are few to pretrain on.")
    if roles.modality == "audio" and roles.group is None:
        notes.append(
            "No column of speakers (speaker, in a metadata.csv beside file_name): without it pretraining is worth "
            "much less, as voices are easier to tell than words. Named otherwise: --group_column."
        )
    if tried.clip_seconds > _LONGEST_CLIP:
        notes.append(
            f"Recordings are up to {tried.clip_seconds:.0f} seconds long; of each {_LONGEST_CLIP:g} are heard at a "
            "time (max_seconds)."
        )
    if tried.bad:
        what, number = tried.bad.most_common(1)[0]
        notes.append(
            f"{sum(tried.bad.values())} of {tried.num_tried} that were tried cannot be decoded ({what}: {number}); "
            "they are skipped and counted."
        )
    return notes
