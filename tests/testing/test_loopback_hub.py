import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from hf_unlab.testing.loopback_failures import Failure
from hf_unlab.testing.loopback_hub import LoopbackHub, Request

CLIENTS = Path(__file__).parent / "hub_clients.py"
TOKENS = {"hf_alice": "alice", "hf_bob": "bob"}


@pytest.fixture
def hub():
    with LoopbackHub(TOKENS) as hub:
        yield hub


@pytest.fixture
def run(hub, tmp_path):
    """Runs what `hub_clients.py` calls by this name in a process whose caches are empty."""

    def run(name, token="hf_alice", **variables):
        environment = {**hub.environment(tmp_path / "home", token), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **variables}
        process = subprocess.run(
            [sys.executable, CLIENTS, name], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    return run


def test_publishing(hub, run):
    found = run("publish")
    assert found["user"] == "alice" and found["url"] == f"{hub.endpoint}/alice/model"
    assert found["exists"][1] == 409 and found["another's"][1] == 403
    assert found["first"] == found["again"], "unchanged files make no commit"
    assert found["tagged"][1] == 409
    assert found["stale"][1] == 412 and "Please refresh" in found["stale"][2]
    assert found["missing"][0] == "RemoteEntryNotFoundError"
    assert found["files"] == [".gitattributes", "README.md", "a b/c#d.json", "model.safetensors"]
    assert found["branches"] == ["main", "try/one"] and found["tags"] == ["v1"]
    titles = [title for title, _, _ in found["commits"]]
    assert titles[1:] == ["Add", "initial commit"]
    assert found["commits"][1] == ["Add", "all of it", ["alice"]]
    assert found["sizes"]["model.safetensors"] == [1024000, True] and found["sizes"]["README.md"] == [9, False]
    assert found["paths"] == [["README.md", "Add"], ["a b", "Add"]]
    assert found["read"] == "{}" and found["snapshot"] and found["part"] == "070809"
    assert found["there"] == [False, False, False]
    assert found["anonymous"][:2] == ["RepositoryNotFoundError", 401]
    assert found["bob"][:2] == ["RepositoryNotFoundError", 404]
    assert found["unknown"][:2] == ["HfHubHTTPError", 401] and "Invalid credentials" in found["unknown"][2]
    assert found["public"] is False and found["to another's"][1] == 403
    assert found["many"] == 2100

    files = hub.files("alice/model")
    assert files["README.md"] == b"# A model" and len(files["model.safetensors"]) == 1024000
    assert hub.tags("alice/model") == {} and set(hub.branches("alice/model")) == {"main"}
    assert [commit.title for commit in hub.commits("alice/model")][-2:] == ["Add", "initial commit"]
    with pytest.raises(KeyError):
        hub.repository("alice/gone")
    uploads = [request for request in hub.requests if request.method == "PUT" and "/lfs/" in request.path]
    assert len(uploads) == 1, "what is there is not uploaded again"


def test_data_sets_are_streamed(run):
    found = run("data")
    assert found["lines"] == [f"line {number}" for number in range(30)]
    assert found["table"] == ["one", "two"] and found["files"] == 30


@pytest.mark.slow
def test_models_of_every_library_are_published_and_loaded(run):
    assert run("models") == dict.fromkeys(("transformers", "peft", "open_clip", "sentence-transformers"), True)


# Repository -> the failure at one of its paths, then the client's exception, the status in it, and the seconds waited.
LFS = "[0-9a-f]{64}"
UPLOADS = {
    # the client sends a commit once
    "refused": (Failure(status=401, path_pattern="commit"), "HfHubHTTPError", 401, []),
    "forbidden": (Failure(status=403, path_pattern="commit"), "HfHubHTTPError", 403, []),
    "missing": (Failure(status=404, path_pattern="commit"), "HfHubHTTPError", 404, []),
    "gone": (
        Failure(status=404, path_pattern="commit", error_code="RepoNotFound"),
        "RepositoryNotFoundError",
        404,
        [],
    ),
    "conflict": (Failure(status=409, path_pattern="commit"), "HfHubHTTPError", 409, []),
    "stale": (Failure(status=412, path_pattern="commit"), "HfHubHTTPError", 412, []),
    "limited": (Failure(status=429, path_pattern="commit", retry_after_seconds=7), "HfHubHTTPError", 429, []),
    "broken": (Failure(status=500, path_pattern="commit"), "HfHubHTTPError", 500, []),
    "cut": (Failure("cut_upload", path_pattern="commit"), "ReadError", None, []),
    "lost": (Failure("cut_download", path_pattern="commit"), "RemoteProtocolError", None, []),
    # all that comes before it up to 6 times
    "limited_before": (Failure(status=429, path_pattern="preupload", retry_after_seconds=7), None, None, [8]),
    "broken_before": (Failure(status=500, path_pattern="preupload", times=2), None, None, [1, 2]),
    "broken_lfs": (Failure(status=500, path_pattern=LFS, times=2), None, None, [1, 2]),
    "cut_lfs": (Failure("cut_upload", path_pattern=LFS, times=2), None, None, [1, 2]),
    "dead_lfs": (Failure("cut_upload", path_pattern=LFS, times=6), "RuntimeError", None, [1, 2, 4, 8, 8]),
    "slow": (Failure("slow", path_pattern="preupload", seconds=0.2), None, None, []),
}
DOWNLOADS = {
    "cut": (Failure("cut_download", "GET"), None, None, [1]),
    "torn": (Failure("cut_download", "GET", reset=True), "ReadError", None, []),
    "dead": (Failure("cut_download", "GET", after_bytes=0, times=6), "RemoteProtocolError", None, [1] * 5),
    "limited": (Failure("status", "GET", status=429, retry_after_seconds=2), None, None, [3]),
    "broken": (Failure("status", "GET", status=500), "HfHubHTTPError", 500, []),
    "broken_head": (Failure("status", "HEAD", status=500, times=3), None, None, [1, 2]),
    "cut_head": (Failure("cut_download", "HEAD"), "RemoteProtocolError", None, []),
    "slow": (Failure("slow", "GET", seconds=1.5), None, None, [1]),
}


def test_failed_uploads(hub, run):
    for name, (failure, *_) in UPLOADS.items():
        hub.fail(replace(failure, path_pattern=f"/{name}/{failure.path_pattern}"))
    assert run("uploads", NAMES=json.dumps(list(UPLOADS))) == {name: want for name, (_, *want) in UPLOADS.items()}
    assert hub.failures == []
    for name, (_, exception, *_) in UPLOADS.items():
        # a commit whose answer was lost is made all the same; of all others that failed nothing is seen
        made = exception is None or name == "lost"
        assert [commit.title for commit in hub.commits(f"alice/{name}")] == ["Add"] * made + ["initial commit"], name
        assert set(hub.files(f"alice/{name}")) == {".gitattributes", *(["config.json", "model.safetensors"] * made)}


def test_failed_downloads(hub, run):
    for name, (failure, *_) in DOWNLOADS.items():
        hub.put_files(f"alice/{name}", {"model.safetensors": os.urandom(1_000_000)})
        hub.fail(replace(failure, path_pattern=f"/{name}/resolve"))
    found = run("downloads", NAMES=json.dumps(list(DOWNLOADS)), HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert {name: outcome for name, (_, *outcome) in found.items()} == {n: want for n, (_, *want) in DOWNLOADS.items()}
    for name, (sha256, exception, *_) in found.items():
        assert exception or sha256 == hub.repository(f"alice/{name}").resolve("main").files["model.safetensors"].sha256


def get(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return answer.status, dict(answer.headers), answer.read()


def test_requests_are_logged_and_failures_are_taken_in_turn(hub):
    hub.fail(Failure(status=503, path_pattern="whoami", message="later", retry_after_seconds=4))
    hub.fail(Failure(status=500, path_pattern="whoami", error_code="Ours"))
    for status, header in ((503, ("Retry-After", "4")), (500, ("X-Error-Code", "Ours"))):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{hub.endpoint}/api/whoami-v2", "hf_bob")
        assert caught.value.code == status and header in caught.value.headers.items()
        caught.value.close()
    assert json.loads(get(f"{hub.endpoint}/api/whoami-v2", "hf_bob")[2])["name"] == "bob"
    path = "/api/whoami-v2"
    assert hub.requests == [Request("GET", path, "bob", status) for status in (503, 500, 200)]


def test_a_slow_answer_ends_with_the_hub(hub):
    hub.fail(Failure("slow", path_pattern="whoami", seconds=1000))
    hub.closing.set()
    assert get(f"{hub.endpoint}/api/whoami-v2", "hf_bob")[0] == 200


def test_the_environment_has_no_other_setting_of_the_clients(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", "/elsewhere")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    monkeypatch.setenv("OURS", "1")
    environment = hub.environment(tmp_path)
    assert not {"HF_HUB_CACHE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"} & environment.keys()
    assert environment["OURS"] == "1" and environment["HF_ENDPOINT"] == hub.endpoint
    assert hub.environment(tmp_path, "hf_bob")["HF_TOKEN"] == "hf_bob"


def test_put_files(hub):
    first = hub.put_files("alice/data", {"a.txt": b"a", "b.bin": b"b"}, "dataset", private=True)
    second = hub.put_files("alice/data", {"a.txt": b"aa"}, "dataset")
    assert second.parent == first.id and hub.repository("alice/data", "dataset").private
    assert hub.files("alice/data", first.id, "dataset")["a.txt"] == b"a"
    assert hub.files("alice/data", repo_type="dataset") == {
        **hub.files("alice/data", first.id, "dataset"),
        "a.txt": b"aa",
    }
    assert second.files["b.bin"].lfs and not second.files["a.txt"].lfs
    with pytest.raises(ValueError, match="owner/name"):
        hub.put_files("data", {})


@pytest.mark.slow
def test_it_runs_until_it_is_interrupted(tmp_path):
    command = [sys.executable, "-u", "-m", "hf_unlab.testing.loopback_hub", "--user", "carol"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout.readline, "")
        exports = {}
        for line in lines:
            name, _, value = line.removeprefix("export ").strip().partition("=")
            exports[name] = value
            if name == "HF_TOKEN":
                break
        about = json.loads(get(f"{exports['HF_ENDPOINT']}/api/whoami-v2", exports["HF_TOKEN"])[2])
        assert about["name"] == "carol" and exports["HF_HUB_OFFLINE"] == "0"
        process.send_signal(2)
        assert process.wait(timeout=60) == 0
