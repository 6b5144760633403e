"""What each endpoint of a `LoopbackHub` answers, in the shapes that huggingface_hub reads."""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from hf_unlab.testing.loopback_messages import Answer, Call, json_answer, ranged_answer
from hf_unlab.testing.loopback_repositories import Commit, HubError, Repository, RepoType

REPO_TYPES: dict[str, RepoType] = {"models": "model", "datasets": "dataset"}
PAGE_SIZE = 1000  # entries of a listing


class Endpoints:
    """All repositories, and what is answered about them.

    Args:
        endpoint: The server's address.
        tokens: Token -> user; a user writes to repositories of the own name only.
    """

    def __init__(self, endpoint: str, tokens: dict[str, str]) -> None:
        self.endpoint, self.tokens = endpoint, tokens
        self.repositories: dict[tuple[str, str], Repository] = {}  # by type and id

    def answer(self, call: Call) -> Answer:
        """Does what is asked for.

        Raises:
            HubError: What is answered in its place.
        """
        if call.token is not None and call.token not in self.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        user = self.tokens.get(call.token or "")
        match call.method, [unquote(part) for part in call.path.strip("/").split("/")]:
            case "GET", ["api", "whoami-v2"]:
                return self._whoami(user)
            case "POST", ["api", "validate-yaml"]:
                return json_answer({"errors": [], "warnings": []})
            case "POST", ["api", "repos", "create"]:
                return self._create(call.json(), user)
            case "DELETE", ["api", "repos", "delete"]:
                repository = self._named(call.json(), user)
                del self.repositories[repository.type, repository.id]
                return json_answer({})
            case method, ["api", ("models" | "datasets") as kind, owner, name, *rest]:
                repository = self._find(REPO_TYPES[kind], f"{owner}/{name}", user, write=method not in ("GET", "HEAD"))
                return self._ask(repository, call, rest, user)
            case "POST", [*kinds, owner, name, "info", "lfs", "objects", "batch"] if kinds in ([], ["datasets"]):
                repo_type: RepoType = "dataset" if kinds else "model"
                repository = self._find(repo_type, f"{owner}/{name.removesuffix('.git')}", user, write=True)
                return self._lfs_batch(repository, call.json()["objects"])
            case "PUT", ["lfs", ("models" | "datasets") as kind, owner, name, oid]:  # bears no token, as of a storage
                return self._lfs_upload(self._find(REPO_TYPES[kind], f"{owner}/{name}", owner), oid, call.body)
            case (("GET" | "HEAD"), ["datasets", owner, name, "resolve", revision, *path]):
                return self._download(self._find("dataset", f"{owner}/{name}", user), revision, "/".join(path), call)
            case (("GET" | "HEAD"), [owner, name, "resolve", revision, *path]):
                return self._download(self._find("model", f"{owner}/{name}", user), revision, "/".join(path), call)
        raise HubError(404, f"{call.method} {call.path} is nothing that this Hub serves")

    def _find(self, repo_type: RepoType, repo_id: str, user: str | None, *, write: bool = False) -> Repository:
        repository = self.repositories.get((repo_type, repo_id))
        owner = repo_id.partition("/")[0]
        if repository is None or (repository.private and user != owner):
            raise HubError(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and user != owner:
            raise HubError(403 if user else 401, f"You don't have the rights to write to {repo_id}")
        return repository

    def _named(self, value: dict[str, Any], user: str | None) -> Repository:
        repo_id = f"{value.get('organization') or user}/{value['name']}"
        return self._find(value.get("type") or "model", repo_id, user, write=True)

    def _url(self, repository: Repository) -> str:
        return f"{self.endpoint}/{'datasets/' if repository.type == 'dataset' else ''}{repository.id}"

    def _whoami(self, user: str | None) -> Answer:
        if user is None:
            raise HubError(401, "Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "loopback", "role": "write"}}
        about = {"type": "user", "id": user, "name": user, "fullname": user, "email": None, "isPro": False}
        return json_answer({**about, "orgs": [], "auth": auth})

    def _create(self, value: dict[str, Any], user: str | None) -> Answer:
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if value.get("type", "model") not in REPO_TYPES.values():
            raise HubError(400, f"This Hub holds models and datasets, no {value['type']}")
        repo_type: RepoType = "dataset" if value.get("type") == "dataset" else "model"
        owner = value.get("organization") or user
        if owner != user:
            raise HubError(403, f'You don\'t have the rights to create a {repo_type} under the namespace "{owner}"')
        repo_id = f"{owner}/{value['name']}"
        known = self.repositories.get((repo_type, repo_id))
        repository = known or Repository(repo_id, repo_type, value.get("visibility") == "private")
        self.repositories[repo_type, repo_id] = repository
        about = {"url": self._url(repository), "name": repo_id, "id": repo_id}
        if known:
            return json_answer({**about, "error": f"You already created this {repo_type} repo"}, 409)
        return json_answer(about)

    def _ask(self, repository: Repository, call: Call, rest: list[str], user: str | None) -> Answer:
        match call.method, rest:
            case "GET", [] | ["revision", _]:
                return self._info(repository, rest[1] if rest else "main", blobs="blobs" in call.query)
            case "GET", ["tree", revision, *folder]:
                return self._tree(repository, revision, "/".join(folder), call)
            case "GET", ["refs"]:
                return json_answer(_refs(repository))
            case "GET", ["commits", revision]:
                return json_answer([_about(commit) for commit in repository.log(revision)])
            case "POST", ["paths-info", revision]:
                asked = parse_qs(call.body.decode())
                commit = repository.resolve(revision)
                held = {entry["path"]: entry for entry in repository.entries(revision, recursive=True)}
                found = [held[path] for path in asked.get("paths", []) if path in held]
                return json_answer(_expanded(repository, commit.id, found, asked))
            case "POST", ["preupload", revision]:
                return self._preupload(repository, revision, call.json()["files"])
            case "POST", ["commit", branch]:
                if "create_pr" in call.query:
                    raise HubError(400, "This Hub has no pull requests")
                items = [json.loads(line) for line in call.body.splitlines() if line]
                commit = repository.apply(branch, items, user or "")
                url = f"{self._url(repository)}/commit/{commit.id}"
                return json_answer({"success": True, "commitOid": commit.id, "commitUrl": url})
            case (("POST" | "DELETE"), ["branch" | "tag", name]):
                return _change_ref(repository, call, rest[0], name)
            case "PUT", ["settings"]:
                if visibility := call.json().get("visibility"):
                    repository.private = visibility == "private"
                return json_answer({"private": repository.private})
        raise HubError(404, f"{call.method} {call.path} is nothing that this Hub serves")

    def _info(self, repository: Repository, revision: str, *, blobs: bool) -> Answer:
        commit, siblings = repository.resolve(revision), []
        for path, file in commit.files.items():
            sibling: dict[str, Any] = {"rfilename": path}
            if blobs:
                sibling |= {"blobId": file.oid, "size": len(file.content)}
            if blobs and file.lfs:
                lfs = {"sha256": file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}
                sibling["lfs"] = lfs
            siblings.append(sibling)
        about: dict[str, Any] = {
            "_id": commit.id[:24],
            "id": repository.id,
            "modelId": repository.id,
            "sha": commit.id,
        }
        about |= {"author": repository.id.partition("/")[0], "private": repository.private, "gated": False}
        about |= {"disabled": False, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}
        return json_answer({**about, "lastModified": commit.date, "createdAt": repository.log("main")[-1].date})

    def _tree(self, repository: Repository, revision: str, folder: str, call: Call) -> Answer:
        commit = repository.resolve(revision)
        recursive = call.query.get("recursive") in (["true"], ["True"], ["1"])
        entries = repository.entries(revision, folder, recursive=recursive)
        start = int(call.query.get("cursor", ["0"])[0])
        page = _expanded(repository, commit.id, entries[start : start + PAGE_SIZE], call.query)
        if start + PAGE_SIZE >= len(entries):
            return json_answer(page)
        query = {**call.query, "cursor": [str(start + PAGE_SIZE)]}
        asked = "&".join(f"{name}={quote(value)}" for name, values in query.items() for value in values)
        return json_answer(page, Link=f'<{self.endpoint}{call.path}?{asked}>; rel="next"')

    def _preupload(self, repository: Repository, revision: str, files: list[dict[str, Any]]) -> Answer:
        held, modes = repository.resolve(revision).files, []
        for file in files:
            path = file["path"]
            sample = base64.b64decode(file.get("sample", ""))
            lfs = repository.stores_as_lfs(path, file["size"], sample, revision)
            mode = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            modes.append({**mode, "oid": held[path].etag} if path in held else mode)
        return json_answer({"files": modes})

    def _lfs_batch(self, repository: Repository, objects: list[dict[str, Any]]) -> Answer:
        answers = []
        for wanted in objects:
            href = f"{self.endpoint}/lfs/{repository.type}s/{repository.id}/{wanted['oid']}"
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            known = wanted["oid"] in repository.lfs_objects
            answers.append(answer if known else {**answer, "actions": {"upload": {"href": href}}})
        return json_answer({"transfer": "basic", "objects": answers})

    def _lfs_upload(self, repository: Repository, oid: str, content: bytes) -> Answer:
        if hashlib.sha256(content).hexdigest() != oid:
            raise HubError(400, f"The {len(content)} bytes that came are not those of SHA-256 {oid}")
        repository.lfs_objects[oid] = content
        return Answer()

    def _download(self, repository: Repository, revision: str, path: str, call: Call) -> Answer:
        commit = repository.resolve(revision)
        file = commit.files.get(path)
        if file is None:
            raise HubError(404, f"{path} does not exist on {revision}", "EntryNotFound", commit.id)
        headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
        return ranged_answer(file.content, call.range, headers)


def _refs(repository: Repository) -> dict[str, list[dict[str, str]]]:
    kinds = {"branches": ("heads", repository.branches), "tags": ("tags", repository.tags)}
    refs = {
        kind: [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit} for name, commit in held.items()]
        for kind, (folder, held) in kinds.items()
    }
    return {**refs, "converts": [], "pullRequests": []}


def _about(commit: Commit) -> dict[str, Any]:
    about = {"id": commit.id, "title": commit.title, "message": commit.message, "date": commit.date}
    return {**about, "authors": [{"user": commit.author}]}


def _expanded(
    repository: Repository, revision: str, entries: list[dict[str, Any]], asked: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """The entries, with the last commit of each if `expand` asks for it."""
    if asked.get("expand") not in (["true"], ["True"], ["1"]):
        return entries
    last = [repository.last_change(revision, entry["path"]) for entry in entries]
    dated = [{"id": commit.id, "title": commit.title, "date": commit.date} for commit in last]
    return [{**entry, "lastCommit": commit} for entry, commit in zip(entries, dated, strict=True)]


def _change_ref(repository: Repository, call: Call, kind: str, name: str) -> Answer:
    refs = repository.branches if kind == "branch" else repository.tags
    revision = "main"
    if call.method == "POST" and kind == "branch":
        revision = call.json().get("startingPoint") or "main"
    elif call.method == "POST":  # of a tag the path names the revision, and the body the tag
        revision, name = name, call.json()["tag"]
    if call.method == "POST" and name in refs:
        raise HubError(409, f"The {kind} {name} exists already")
    if call.method == "POST":
        refs[name] = repository.resolve(revision).id
    elif name not in refs:
        raise HubError(404, f"There is no {kind} {name}", "RevisionNotFound")
    elif kind == "branch" and name == "main":
        raise HubError(403, "The branch main stays")
    else:
        del refs[name]
    return json_answer({"ref": f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}"})
