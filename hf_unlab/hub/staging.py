"""What would go up, made in a folder of its own before anything does: files as they are, tables without paths of this
machine, the card. What is looked at there is what is published."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from hf_unlab.hub.card import CURVES_NAME, CardSettings, is_ours, make_card, read_card, write_curves
from hf_unlab.hub.contents import CARD_NAME, Contents, contents_of
from hf_unlab.hub.facts import HELD_OUT_NAME, hashes_of_weights, read_facts
from hf_unlab.hub.loading import kind_of
from hf_unlab.hub.secrets import find_secrets
from hf_unlab.streams.redaction import without_folders

MAX_TOLD = 10
MAX_RAW_TEXTS = 2000
_REWRITTEN = ("few_label", "results", "eval_results", "all_results", "classifier")


@dataclass(frozen=True)
class Staged:
    """A model as it would be published.

    Args:
        folder: Holds the files, and nothing else.
        contents: Which they are, and what is left out of the checkpoint's folder.
        notes: What a publisher may like to know.
    """

    folder: Path
    contents: Contents
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: (self.folder / name).stat().st_size for name in self.contents.published}


@contextmanager
def staged(
    checkpoint: str | Path, repo_id: str, settings: CardSettings, *, new_card: bool = False
) -> Iterator[Staged]:
    """A checkpoint as it would be published; the folder is gone afterwards.

    A card README.md that somebody wrote, or changed, is published as it is; one of ours is made anew.

    Args:
        checkpoint: Its folder.
        repo_id: Where it would be published.
        settings: What the publisher says of it.
        new_card: Make the card anew in any case.

    Raises:
        ValueError: It is no checkpoint, it has no licence, its card is not valid, or its adapter belongs to no model
            of the Hub.
    """
    checkpoint = Path(checkpoint)
    contents, notes = contents_of(checkpoint), []
    with TemporaryDirectory(prefix="hf_unlab_publish_") as scratch:
        folder = Path(scratch)
        for name in contents.published:
            if name != CARD_NAME:
                _bring(checkpoint / name, folder / name)
        if contents.kind == "peft":
            _name_base(folder / "adapter_config.json", settings.base_model)
        if write_curves(checkpoint, folder / CURVES_NAME):
            contents = replace(contents, published=tuple(sorted({*contents.published, CURVES_NAME})))
        written = checkpoint / CARD_NAME
        is_kept = written.is_file() and not new_card and not _is_generated(written)
        if is_kept:
            said = read_card(written).data.license  # raises where the Hub would refuse the card
            if settings.licence not in (None, said):
                raise ValueError(
                    f"{written} says license: {said}, and {settings.licence} is asked for: correct one of the two, or "
                    "have the card made anew (--new_card)."
                )
            shutil.copyfile(written, folder / CARD_NAME)
            notes.append(f"{CARD_NAME} was written by hand and goes up as it is (--new_card makes one)")
        else:
            text = make_card(folder, contents, repo_id, settings, run=checkpoint)
            (folder / CARD_NAME).write_text(text, encoding="utf-8")
        contents = replace(contents, published=tuple(sorted({*contents.published, CARD_NAME})))
        left_out = {name: why for name, why in contents.left_out.items() if name not in contents.published}
        yield Staged(folder, replace(contents, left_out=left_out), tuple(notes))


def check_staged(one: Staged, checkpoint: str | Path) -> None:
    """Refuse to publish what must not go up, and weights that are not what the run saved.

    Args:
        one: As it would be published.
        checkpoint: The folder that it comes from.

    Raises:
        ValueError: Names what was found and where, and no secret.
    """
    found = find_secrets(
        one.folder, one.contents.published, raw_texts=held_out_texts(checkpoint), places=[Path(checkpoint)]
    )
    if found:
        lines = [f"  {each.file}, {each.where}: {each.what}" for each in found[:MAX_TOLD]]
        more = [f"  and {len(found) - MAX_TOLD:,} more"] * (len(found) > MAX_TOLD)
        raise ValueError(
            "Nothing is published, as this would have gone up with it:\n"
            + "\n".join([*lines, *more])
            + "\nTake it out of the files, and publish again."
        )
    facts = read_facts(checkpoint)
    if facts and facts.weights:
        then, now = facts.weights, hashes_of_weights(checkpoint)
        if wrong := sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name)):
            raise ValueError(
                f"{', '.join(wrong)} in {checkpoint} is not what the run saved there: the card would tell of other "
                "weights. Publish the folder that the run wrote, or delete its _facts.json if the weights are meant."
            )


def held_out_texts(folder: str | Path) -> Iterator[str]:
    """Raw texts that a run held out, none of which may be published; of other raw data there is nothing to compare."""
    path = Path(folder) / HELD_OUT_NAME
    if not path.is_file():
        return
    file, num_left = pq.ParquetFile(path), MAX_RAW_TEXTS
    columns = [one.name for one in file.schema_arrow if str(one.type) in ("string", "large_string")]
    for batch in file.iter_batches(batch_size=256, columns=columns) if columns else ():
        for column in batch.columns:
            yield from (text for text in column.to_pylist() if text)
        num_left -= len(batch)
        if num_left <= 0:
            return


def _bring(source: Path, target: Path) -> None:
    """A file as it is published: weights by a link, tables without the folders of this machine."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".safetensors":
        os.symlink(source.resolve(), target)
    elif source.suffix == ".json" and source.stem.startswith(_REWRITTEN):
        content = without_folders(json.loads(source.read_text(encoding="utf-8")))
        target.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        shutil.copyfile(source, target)


def _is_generated(card: Path) -> bool:
    """Ours, unchanged; or peft's, which says nothing."""
    text = card.read_text(encoding="utf-8")
    return is_ours(text) or (kind_of(card.parent) == "peft" and "[More Information Needed]" in text)


def _name_base(path: Path, base_model: str | None) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    base = base_model or config.get("base_model_name_or_path")
    if not base or base.startswith(("/", ".", "~", "\\")) or base.count("/") > 1 or Path(base).exists():
        raise ValueError(
            "The adapter belongs to a checkpoint in a folder of this machine, which nobody else has: publish that "
            "first, and give its name on the Hub: --base_model ME/NAME."
        )
    config["base_model_name_or_path"] = base
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
