"""Whether a published model is what was trained: loaded from the Hub by its own card, by a process that has no
hf_unlab and has an empty cache, and compared with what lies here."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from huggingface_hub import HfApi, constants, get_token

from hf_unlab.hub import load_and_run
from hf_unlab.hub.card import read_card
from hf_unlab.hub.contents import CARD_NAME
from hf_unlab.hub.errors import hub_errors
from hf_unlab.hub.facts import sha256_of
from hf_unlab.hub.loading import loading_of
from hf_unlab.streams.redaction import redacted

Answers = dict[str, np.ndarray]
TOLERANCE = 1e-6
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Check(NamedTuple):
    """One thing that was looked at.

    Args:
        name: What.
        is_right: Whether all is well.
        detail: What was seen.
    """

    name: str
    is_right: bool
    detail: str


@dataclass(frozen=True)
class Verification:
    """What a look at a published model has found.

    Args:
        repo_id: The model.
        commit: Its revision.
        checks: All that was looked at.
    """

    repo_id: str
    commit: str
    checks: tuple[Check, ...]

    @property
    def is_right(self) -> bool:
        """Whether everything is."""
        return all(check.is_right for check in self.checks)


def verify_published(
    repo_id: str,
    folder: str | Path | None = None,
    *,
    revision: str | None = None,
    answers: Mapping[str, np.ndarray] | None = None,
    token: str | None = None,
) -> Verification:
    """Download a model into an empty cache, load it by its card's lines, and compare it with a local folder.

    Args:
        repo_id: The model on the Hub.
        folder: What was published: files as they went up, or the checkpoint that they were made from; None: the model
            only has to load, and its card to be valid.
        revision: Branch, tag or commit; by default main.
        answers: What the local model says to the fixed inputs, if that is known already.
        token: Of the Hub; by default the one logged in with.

    Raises:
        ValueError: The model cannot be downloaded.

    Example:
        >>> verify_published("me/reviews", "outputs/reviews").is_right  # doctest: +SKIP
        True
    """
    token = token or get_token()
    with tempfile.TemporaryDirectory() as scratch, hub_errors(repo_id):
        api = HfApi(token=token)
        commit = api.repo_info(repo_id, revision=revision).sha or ""
        home = Path(scratch) / "home"
        snapshot = Path(api.snapshot_download(repo_id, revision=commit, cache_dir=Path(scratch) / "cache"))
        checks = [_card(snapshot)]
        if folder is not None:
            checks.append(_checksums(snapshot, Path(folder)))
        lines = _lines(snapshot, repo_id) if revision in (None, "main") else None
        name = "loads by its card's lines" if lines else "loads by its library"  # a card's name no revision
        lines = lines or loading_of(snapshot).lines
        try:
            theirs = run_lines(lines, home=home, token=token)
        except ValueError as error:
            checks.append(Check(name, False, str(error)))
            return Verification(repo_id, commit, tuple(checks))
        checks.append(Check(name, True, "without hf_unlab, from an empty cache"))
        if answers is None and folder is not None:
            answers = run_lines(loading_of(Path(folder).absolute()).lines)  # the process stands elsewhere
        if answers is not None:
            checks.append(compare(answers, theirs))
    return Verification(repo_id, commit, tuple(checks))


def run_lines(lines: str, *, home: Path | None = None, token: str | None = None) -> Answers:
    """What a model says to fixed inputs, loaded by lines of Python in a fresh process without hf_unlab.

    Args:
        lines: As on a card: they define `model` and what makes its inputs.
        home: HF_HOME of the process; by default that of this one.
        token: Of the Hub.

    Raises:
        ValueError: The lines fail, weights are missing, or an answer is no number.
    """
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["HF_ENDPOINT"] = constants.ENDPOINT
    if home is not None:
        environment |= {"HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub")}
    if token:
        environment["HF_TOKEN"] = token
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "answers.npz"
        done = subprocess.run(
            [
                sys.executable,
                "-P",
                "-W",
                "ignore",
                load_and_run.__file__,
            ],  # -P: hub/secrets.py is not Python's secrets
            input=json.dumps({"lines": lines, "target": str(target)}),
            cwd=folder,  # where no folder is called like the model
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(_why(done.stderr, token))
        said = json.loads(done.stdout.strip().splitlines()[-1])
        if said["unlike"]:
            raise ValueError(
                "loaded twice, it gives two answers: weights are missing from its files, and are drawn at random"
            )
        if said["not_finite"]:
            raise ValueError("its answers are not finite: the weights are broken")
        with np.load(target) as content:
            return dict(content)


def compare(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> Check:
    """Whether two models say the same to the fixed inputs.

    Example:
        >>> compare({"output": np.ones(2)}, {"output": np.ones(2) + 1e-3}).is_right
        False
    """
    name = f"same answers within {TOLERANCE:g}"
    if ours.keys() != theirs.keys() or any(ours[key].shape != theirs[key].shape for key in ours):
        return Check(name, False, "they are of other shapes")
    difference = max(float(np.abs(ours[key] - theirs[key]).max()) for key in ours)
    scale = max(1.0, *(float(np.abs(ours[key]).max()) for key in ours))
    return Check(name, difference <= TOLERANCE * scale, f"they differ by {difference:.1e} at most")


def _card(snapshot: Path) -> Check:
    if not (snapshot / CARD_NAME).is_file():
        return Check("card", False, "there is none")
    try:
        card = read_card(snapshot / CARD_NAME)
    except ValueError as error:
        return Check("card", False, str(error))
    return Check("card", True, f"valid, licence {card.data.get('license')}")


def _checksums(snapshot: Path, folder: Path) -> Check:
    """Of the weights and of what else is in both; what publishing makes anew is not in the folder, or differs."""
    names = [path.relative_to(snapshot).as_posix() for path in sorted(snapshot.rglob("*")) if path.is_file()]
    same = [
        name for name in names if (folder / name).is_file() and sha256_of(folder / name) == sha256_of(snapshot / name)
    ]
    weights = [name for name in names if name.endswith(".safetensors")]
    if wrong := [name for name in weights if name not in same]:
        return Check("same files", False, f"{', '.join(wrong)} is not what lies in {folder.name}")
    return Check("same files", bool(weights), f"{len(same)} of {len(names)}, all weights among them")


def _lines(snapshot: Path, repo_id: str) -> str | None:
    """Those of the card that load this model; a card that somebody wrote may have none, or load another."""
    card = snapshot / CARD_NAME
    found = _PYTHON.findall(card.read_text(encoding="utf-8")) if card.is_file() else []
    return next(
        (lines for lines in found if repo_id in lines and re.search(r"^model\b.* = ", lines, re.MULTILINE)), None
    )


def _why(errors: str, token: str | None) -> str:
    """The last line of a traceback, and what to install where something is missing."""
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    text = redacted(lines[-1] if lines else "it failed without a word")
    if token:
        text = text.replace(token, "***")
    if missing := re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", text):
        name = missing[1].partition(".")[0].replace("_", "-")
        return f"its library is not installed here: pip install {name}"
    return text.partition("Error: ")[2] or text
