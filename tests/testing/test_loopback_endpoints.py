import json

import pytest

from hf_unlab.testing.loopback_endpoints import Endpoints
from hf_unlab.testing.loopback_messages import Call
from hf_unlab.testing.loopback_repositories import HubError


@pytest.fixture
def ask():
    endpoints = Endpoints("http://hub", {"hf_alice": "alice", "hf_bob": "bob"})

    def ask(method, path, content=None, token="hf_alice", **query):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = endpoints.answer(Call(method, path, query, body, token, None))
        return json.loads(answer.body or b"{}")

    ask("POST", "/api/repos/create", {"name": "model", "visibility": "private"})
    return ask


def refused(ask, *args, **kwargs):
    with pytest.raises(HubError) as caught:
        ask(*args, **kwargs)
    return caught.value.status, caught.value.error_code


def test_what_is_private_is_not_there_for_others(ask):
    assert ask("GET", "/api/models/alice/model")["private"]
    for path in ("/api/models/alice/model", "/alice/model/resolve/main/.gitattributes", "/api/models/alice/nothing"):
        assert refused(ask, "GET", path, token=None) == (401, "RepoNotFound")
        assert refused(ask, "GET", path, token="hf_bob") == (404, "RepoNotFound")
        assert refused(ask, "GET", path, token="hf_unknown") == (401, None)


def test_what_is_public_is_read_by_all_and_written_by_its_owner(ask):
    ask("PUT", "/api/models/alice/model/settings", {"visibility": "public"})
    assert not ask("GET", "/api/models/alice/model", token=None)["private"]
    ask("PUT", "/api/models/alice/model/settings", {"gated": "auto"})
    assert not ask("GET", "/api/models/alice/model")["private"]
    for token, status in ((None, 401), ("hf_bob", 403)):
        for method, path in (
            ("POST", "/api/models/alice/model/commit/main"),
            ("DELETE", "/api/models/alice/model/tag/a"),
        ):
            assert refused(ask, method, path, token=token) == (status, None)
        assert refused(ask, "POST", "/alice/model.git/info/lfs/objects/batch", token=token) == (status, None)
        delete = {"name": "model", "organization": "alice"}
        assert refused(ask, "DELETE", "/api/repos/delete", delete, token=token) == (status, None)


def test_who_creates_what(ask):
    path = "/api/repos/create"
    assert refused(ask, "POST", path, {"name": "other"}, token=None) == (401, None)
    assert refused(ask, "POST", path, {"name": "other", "organization": "bob"}) == (403, None)
    assert refused(ask, "POST", path, {"name": "other", "type": "space"}) == (400, None)
    assert refused(ask, "GET", "/api/whoami-v2", token=None) == (401, None)
    created = ask("POST", path, {"name": "model", "type": "dataset"})
    assert created["url"] == "http://hub/datasets/alice/model", "of the same name as the model"


def test_uploads_are_checked(ask):
    wanted = {"objects": [{"oid": "0" * 64, "size": 3}]}
    (answer,) = ask("POST", "/alice/model.git/info/lfs/objects/batch", wanted)["objects"]
    path = answer["actions"]["upload"]["href"].removeprefix("http://hub")
    assert refused(ask, "PUT", path, b"abc", token=None) == (400, None)


def test_refs(ask):
    branch, tag = "/api/models/alice/model/branch", "/api/models/alice/model/tag"
    ask("POST", f"{branch}/try", {})
    ask("POST", f"{tag}/try", {"tag": "v1"})
    assert (
        refused(ask, "POST", f"{branch}/try", {}) == refused(ask, "POST", f"{tag}/main", {"tag": "v1"}) == (409, None)
    )
    assert refused(ask, "POST", f"{branch}/more", {"startingPoint": "no"}) == (404, "RevisionNotFound")
    assert refused(ask, "DELETE", f"{tag}/v2") == (404, "RevisionNotFound")
    assert refused(ask, "DELETE", f"{branch}/main") == (403, None)
    refs = ask("GET", "/api/models/alice/model/refs")
    assert [ref["ref"] for ref in refs["branches"] + refs["tags"]] == [
        "refs/heads/main",
        "refs/heads/try",
        "refs/tags/v1",
    ]


def test_what_it_does_not_serve(ask):
    assert refused(ask, "GET", "/api/spaces") == (404, None)
    assert refused(ask, "GET", "/api/models/alice/model/discussions") == (404, None)
    assert refused(ask, "POST", "/api/models/alice/model/commit/main", b"", create_pr=["1"]) == (400, None)
    assert refused(ask, "GET", "/alice/model/resolve/main/no.txt") == (404, "EntryNotFound")
    assert refused(ask, "GET", "/alice/model/resolve/no/.gitattributes") == (404, "RevisionNotFound")
