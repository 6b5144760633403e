import base64
import hashlib
import subprocess

import pytest

from hf_unlab.testing.loopback_repositories import HubError, Repository, StoredFile


def header(**value):
    return {"key": "header", "value": {"summary": "Change", **value}}


def file(path, content=b"x"):
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode()}}


def operation(key, path, **value):
    return {"key": key, "value": {"path": path, **value}}


@pytest.fixture
def repository():
    repository = Repository("alice/model", "model")
    repository.apply("main", [header(), file("a.txt"), file("folder/b.txt"), file("folder/deep/c.txt")], "alice")
    return repository


def test_ids_are_gits_where_git_has_them(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"some text\n")
    oid = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True).stdout.strip()
    assert StoredFile(path.read_bytes()).oid == StoredFile(path.read_bytes()).etag == oid
    large = StoredFile(b"weights", lfs=True)
    assert large.etag == hashlib.sha256(b"weights").hexdigest()
    path.write_bytes(large.pointer)
    pointer = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True).stdout.strip()
    assert large.oid == pointer


def test_the_same_history_has_the_same_ids(repository):
    def history(content):
        other = Repository("alice/model", "model")
        other.apply(
            "main", [header(), file("a.txt", content), file("folder/b.txt"), file("folder/deep/c.txt")], "alice"
        )
        return [commit.id for commit in other.log("main")]

    ids = [commit.id for commit in repository.log("main")]
    assert history(b"x") == ids and history(b"y")[0] != ids[0] and history(b"y")[1] == ids[1]
    assert all(len(commit_id) == 40 and int(commit_id, 16) for commit_id in ids)


def test_operations(repository):
    weights, oid = b"weights", hashlib.sha256(b"weights").hexdigest()
    repository.lfs_objects[oid] = weights
    before = repository.resolve("main")
    lfs = operation("lfsFile", "model.safetensors", oid=oid)
    items = [header(description="More", parentCommit=before.id), file("a.txt", b"new"), lfs]
    items += [operation("deletedFile", "folder/b.txt"), operation("deletedFolder", "folder/deep/")]
    after = repository.apply("main", items, "bob")
    assert (after.parent, after.title, after.message, after.author) == (before.id, "Change", "More", "bob")
    assert after.date > before.date
    contents = {path: held.content for path, held in after.files.items() if path != ".gitattributes"}
    assert contents == {"a.txt": b"new", "model.safetensors": weights} and after.files["model.safetensors"].lfs
    assert before.files["a.txt"].content == b"x", "history stays"


@pytest.mark.parametrize(
    "items, status",
    [
        ([header(parentCommit="0" * 40), file("new.txt")], 412),
        ([header(), file("new.txt"), operation("deletedFile", "nothing")], 404),
        ([header(), file("new.txt"), operation("deletedFolder", "a.txt")], 404),
        ([header(), file("new.txt"), operation("lfsFile", "w", oid="0" * 64)], 400),
        ([header(), file("new.txt"), operation("moved", "a.txt")], 400),
    ],
    ids=["stale", "no file", "no folder", "not uploaded", "unknown"],
)
def test_of_a_commit_that_fails_nothing_is_seen(repository, items, status):
    head = repository.resolve("main")
    with pytest.raises(HubError) as caught:
        repository.apply("main", items, "alice")
    assert caught.value.status == status
    assert repository.resolve("main") == head and len(repository.commits) == 2


def test_commits_go_to_branches_that_exist(repository):
    repository.tags["v1"] = repository.resolve("main").id
    for revision in ("nothing", "v1", repository.resolve("main").id):
        with pytest.raises(HubError, match="Invalid rev"):
            repository.apply(revision, [header(), file("new.txt")], "alice")
    repository.branches["try"] = repository.tags["v1"]
    repository.apply("try", [header(), file("new.txt")], "alice")
    assert "new.txt" in repository.resolve("try").files and "new.txt" not in repository.resolve("main").files


def test_lfs_by_name_size_or_content(repository):
    stored = {
        ("model.safetensors", 3, b"abc"): True,
        ("folder/data.parquet", 3, b"abc"): True,
        ("config.json", 3, b"{}\n"): False,
        ("texts.jsonl", 20_000_000, b"{}\n"): True,
        ("picture", 4, b"a\0bc"): True,
        ("empty.bin", 0, b""): False,
    }
    assert {given: repository.stores_as_lfs(*given) for given in stored} == stored
    repository.apply("main", [header(), file(".gitattributes", b"*.json filter=lfs -text\n")], "alice")
    assert repository.stores_as_lfs("config.json", 3, b"{}\n")
    assert not repository.stores_as_lfs("model.safetensors", 3, b"abc")


def test_listings(repository):
    def paths(*args, **kwargs):
        return [entry["path"] for entry in repository.entries(*args, **kwargs)]

    assert paths("main") == [".gitattributes", "a.txt", "folder"]
    assert paths("main", "folder") == ["folder/b.txt", "folder/deep"]
    assert paths("main", "folder", recursive=True) == ["folder/b.txt", "folder/deep", "folder/deep/c.txt"]
    with pytest.raises(HubError, match="fold does not exist"):
        repository.entries("main", "fold")


def test_last_change(repository):
    first, second = repository.log("main")[::-1]
    third = repository.apply("main", [header(), file("folder/deep/c.txt", b"new")], "alice")
    changes = {path: repository.last_change("main", path).id for path in (".gitattributes", "a.txt", "folder")}
    assert changes == {".gitattributes": first.id, "a.txt": second.id, "folder": third.id}
