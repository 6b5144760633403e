"""Publishing a checkpoint to the Hub: private unless told otherwise, checked, whole or not at all, and verified.

The folder of a run -> what may go up, with its card -> looked through for secrets -> loaded by the card's lines -> one
commit -> a tag -> downloaded again and compared.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import httpx
from huggingface_hub.utils.sha import git_hash

from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.contents import is_published
from hf_unlab.hub.errors import hub_errors
from hf_unlab.hub.facts import sha256_of
from hf_unlab.hub.loading import loading_of
from hf_unlab.hub.staging import Staged, check_staged, staged
from hf_unlab.hub.verify import Answers, Verification, run_lines, verify_published

_VERSION = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class PublishSettings:
    """How a model is published.

    Args:
        card: What its publisher says of it.
        is_private: Who may read it: the publisher's own, or everybody. Of a repository that is there already, nothing
            is changed.
        revision: The branch; made where it is missing.
        tag: Of the commit, by default the next of v1, v2, ...; "none" for no tag.
        new_card: Make the card anew even if somebody wrote one.
        is_verified: Whether it is loaded before, and downloaded and loaded again afterwards.
    """

    card: CardSettings = field(default_factory=CardSettings)
    is_private: bool = True
    revision: str = "main"
    tag: str | None = None
    new_card: bool = False
    is_verified: bool = True


@dataclass(frozen=True)
class Publication:
    """What was published.

    Args:
        repo_id: Where.
        url: The same, for a browser.
        commit: Its revision.
        changed: Files that went up.
        deleted: Files of an earlier version that are no part of this one.
        tag: Of the commit, if it has one.
        verification: What the look at it has found; None where nobody looked.
    """

    repo_id: str
    url: str
    commit: str
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    tag: str | None = None
    verification: Verification | None = None


def publish_model(
    folder: str | Path,
    repo_id: str,
    settings: PublishSettings | None = None,
    *,
    token: str | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> Publication:
    """Publish a checkpoint.

    Files that are there already and are the same are not sent again; where all are, nothing is committed. What an
    earlier version has and this one has not is deleted; files that no checkpoint has (a picture, a demo) are left.
    A failure leaves the revision as it was.

    Args:
        folder: A run's, or any checkpoint of transformers, sentence-transformers, open_clip or peft.
        repo_id: "me/name".
        settings: How.
        token: Of the Hub; by default the one logged in with.
        on_step: Is told what is done next.

    Raises:
        ValueError: It must not be published, or the Hub refuses it, fails or is not reached.

    Example:
        >>> settings = PublishSettings(CardSettings("apache-2.0"))
        >>> publish_model("outputs/reviews", "me/reviews", settings).url  # doctest: +SKIP
        'https://huggingface.co/me/reviews'
    """
    settings = settings or PublishSettings()
    on_step("Looking through the files")
    with staged(folder, repo_id, settings.card, new_card=settings.new_card) as one:
        check_staged(one, folder)
        for note in one.notes:
            on_step(f"Note: {note}")
        answers = None
        if settings.is_verified:
            on_step("Loading the model by its card's lines, without hf_unlab")
            answers = load_staged(one)
        on_step("Uploading")
        publication = commit_staged(one, repo_id, settings, token=token)
        if not settings.is_verified:
            return publication
        on_step("Downloading it again, and comparing")
        revision = None if settings.revision == "main" else settings.revision
        verification = verify_published(repo_id, one.folder, revision=revision, answers=answers, token=token)
    return Publication(**{**vars(publication), "verification": verification})


def commit_staged(one: Staged, repo_id: str, settings: PublishSettings, *, token: str | None = None) -> Publication:
    """Send a staged model by one commit, if anything is new, and tag it.

    Args:
        one: As it is to be.
        repo_id: Where; made if it is not there.
        settings: Branch, tag, who may read it.
        token: Of the Hub.

    Raises:
        ValueError: The Hub refuses, fails or is not reached.
    """
    api, branch = HfApi(token=token), settings.revision
    with hub_errors(repo_id, "Nothing has changed there."):
        info = _info(api, repo_id, branch, settings.is_private)
        url = f"{api.endpoint}/{repo_id}"
        changed, obsolete = _differences(one, info)
        tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(repo_id).tags}
        tag = _next_tag(settings.tag, tags, info.sha if not changed and not obsolete else None)
        commit = info.sha or ""
        if changed or obsolete:
            commit = _commit(api, one, repo_id, branch, info, changed, obsolete)
    with hub_errors(repo_id, f"The files are there, as commit {commit[:8]}; the tag is missing."):
        if tag and tag not in tags:
            api.create_tag(repo_id, tag=tag, revision=commit)
    return Publication(repo_id, url, commit, tuple(changed), tuple(obsolete), tag)


def _differences(one: Staged, info: ModelInfo) -> tuple[list[str], list[str]]:
    """Files that are not there, or not the same; and files of a model that are no part of it any more."""
    remote = {file.rfilename: file for file in info.siblings or ()}
    names, kind = one.contents.published, one.contents.kind
    changed = [name for name in names if not _is_same(one.folder / name, remote.get(name))]
    return changed, [name for name in remote if is_published(name, kind) and name not in names]


def _commit(
    api: HfApi, one: Staged, repo_id: str, branch: str, info: ModelInfo, changed: list[str], obsolete: list[str]
) -> str:
    """All changes by one commit, which is there or is not; the revision then."""
    added = [CommitOperationAdd(name, one.folder / name) for name in changed]
    try:
        return api.create_commit(
            repo_id,
            [*added, *(CommitOperationDelete(name) for name in obsolete)],
            commit_message="Publish the model and its card",
            revision=branch,
            parent_commit=info.sha,  # what somebody else commits meanwhile is not overwritten
        ).oid
    except httpx.RequestError:  # the answer was lost; what became of the commit, the branch tells
        now = api.model_info(repo_id, revision=branch, files_metadata=True)
        if now.sha == info.sha or any(_differences(one, now)):
            raise
        return now.sha or ""


def load_staged(one: Staged) -> Answers:
    """What a staged model says to fixed inputs, loaded by its card's lines without hf_unlab.

    Raises:
        ValueError: It does not load.
    """
    loading = loading_of(one.folder)
    try:
        return run_lines(loading.lines)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"Nothing is published, as the model does not load by its card's lines ({loading.kind}): {reason}. "
            "Mend it, or publish without this look (--no-verify)."
        ) from error


def _info(api: HfApi, repo_id: str, branch: str, is_private: bool) -> ModelInfo:
    """The repository as it is on a branch; both are made where they are missing."""
    try:
        return api.model_info(repo_id, revision=branch, files_metadata=True)
    except RevisionNotFoundError:
        api.create_branch(repo_id, branch=branch, exist_ok=True)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=is_private, exist_ok=True)
        if branch != "main":
            api.create_branch(repo_id, branch=branch, exist_ok=True)
    return api.model_info(repo_id, revision=branch, files_metadata=True)


def _is_same(path: Path, remote: RepoSibling | None) -> bool:
    """Whether the Hub has a file: it knows one kept in LFS by SHA-256, others by git's hash."""
    if remote is None:
        return False
    return sha256_of(path) == remote.lfs.sha256 if remote.lfs else git_hash(path.read_bytes()) == remote.blob_id


def _next_tag(wanted: str | None, tags: dict[str, str], unchanged: str | None) -> str | None:
    """The tag to set; that of the commit where nothing is new.

    Example:
        >>> _next_tag(None, {"v1": "a", "v2": "b"}, None), _next_tag(None, {"v1": "a"}, "a")
        ('v3', 'v1')
    """
    if wanted == "none":
        return None
    if wanted:
        if wanted in tags and tags[wanted] != unchanged:
            raise ValueError(f"There is a tag {wanted} already, of another commit: choose another --tag.")
        return wanted
    here = [name for name, commit in tags.items() if commit == unchanged]
    numbers = [int(found[1]) for name in tags if (found := _VERSION.fullmatch(name))]
    return here[0] if here else f"v{max(numbers, default=0) + 1}"
