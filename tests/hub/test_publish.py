"""publish.py: private, whole or not at all, nothing twice, and over a Hub that fails in every way."""

import json
import shutil

import pytest
from huggingface_hub import HfApi

from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.publish import PublishSettings, publish_model
from hf_unlab.hub.staging import held_out_texts
from hf_unlab.testing.loopback_failures import Failure
from tests.hub.conftest import RAW, TOKEN

SETTINGS = PublishSettings(CardSettings("apache-2.0", ("en",)), is_verified=False)


def publish(folder, repo_id="alice/reviews", **changes):
    return publish_model(folder, repo_id, PublishSettings(**{**vars(SETTINGS), **changes}))


def test_what_goes_up_is_private_whole_and_tagged(hub, checkpoint):
    made = publish(checkpoint)
    files = hub.files("alice/reviews")
    assert {"README.md", "model.safetensors", "config.json", "tokenizer.json", "training.png"} <= files.keys()
    assert files["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    assert hub.repository("alice/reviews").private
    assert hub.tags("alice/reviews") == {"v1": made.commit} and made.tag == "v1"
    assert len(hub.commits("alice/reviews")) == 2, "one commit beside the first of the Hub's own"
    everything = b"".join(files.values())
    assert not any(text.encode() in everything for text in RAW)
    for private in (TOKEN, str(checkpoint.parent), "_held_out", "optimizer"):
        assert private.encode() not in everything, private


def test_the_same_again_is_nothing_new(hub, checkpoint):
    first = publish(checkpoint)
    again = publish(checkpoint)
    assert again.changed == () and again.commit == first.commit and again.tag == "v1"
    assert len(hub.commits("alice/reviews")) == 2


def test_a_new_version_sends_what_changed_and_deletes_what_is_gone(hub, checkpoint):
    publish(checkpoint)
    HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="demo/app.py", repo_id="alice/reviews")
    (checkpoint / "few_label.json").unlink()
    made = publish(checkpoint)
    assert set(made.changed) == {"README.md"} and made.deleted == ("few_label.json",) and made.tag == "v2"
    assert "demo/app.py" in hub.files("alice/reviews"), "what is no part of a checkpoint is left"


def test_public_branches_and_tags(hub, checkpoint):
    made = publish(checkpoint, is_private=False, revision="try", tag="best")
    assert not hub.repository("alice/reviews").private
    assert hub.branches("alice/reviews").keys() == {"main", "try"} and hub.tags("alice/reviews") == {
        "best": made.commit
    }
    assert hub.files("alice/reviews").keys() == {".gitattributes"}, "main is as it was"
    (checkpoint / "few_label.json").unlink()
    with pytest.raises(ValueError, match="tag best already, of another commit"):
        publish(checkpoint, revision="try", tag="best")
    assert publish(checkpoint, revision="try", tag="none").tag is None


@pytest.mark.parametrize("licence", [None, "My Licence"])
def test_a_licence_is_needed(hub, checkpoint, licence):
    with pytest.raises(ValueError, match=r"licence.*repositories-licenses"):
        publish(checkpoint, card=CardSettings(licence))
    assert not hub.requests


def secret_in_config(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "note": TOKEN}))


def raw_in_tokenizer(folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"example": next(held_out_texts(folder))}))


def other_weights(folder):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (secret_in_config, r"config\.json.*Hugging Face"),
        (raw_in_tokenizer, r"tokenizer_config\.json.*raw"),
        (other_weights, r"not what the run saved"),
        (pickled, r"pytorch_model\.bin are pickled"),
    ],
)
def test_what_must_not_go_up_is_refused_before_anything_does(hub, checkpoint, spoil, said):
    spoil(checkpoint)
    with pytest.raises(ValueError, match=said) as caught:
        publish(checkpoint)
    assert TOKEN not in str(caught.value) and not any(text in str(caught.value) for text in RAW)
    assert not hub.requests


FAILURES = {
    "no token": (Failure(status=401, path_pattern="repos/create"), "log in"),
    "another's": (Failure(status=403, path_pattern="repos/create"), "may not write"),
    "gone": (Failure(status=404, path_pattern="/commit/"), "no such repository"),
    "busy": (Failure(status=409, path_pattern="/commit/"), "another change"),
    "stale": (Failure(status=412, path_pattern="/commit/"), "somebody else"),
    "too often": (Failure(status=429, path_pattern="/commit/"), "fewer requests"),
    "broken": (Failure(status=500, path_pattern="/commit/"), "trouble of its own"),
    "large files": (Failure(status=500, path_pattern="/lfs/", times=20), "trouble of its own"),
    "cut commit": (Failure("cut_upload", path_pattern="/commit/"), "connection"),
    "cut upload": (Failure("cut_upload", path_pattern="/lfs/models/", times=20), "connection"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_and_leaves_what_was_there(hub, checkpoint, name):
    failure, said = FAILURES[name]
    if "create" not in failure.path_pattern:
        publish(checkpoint)
    before = hub.commits("alice/reviews")[0].id if "create" not in failure.path_pattern else None
    other_weights(checkpoint)
    (checkpoint / "_facts.json").unlink()
    hub.fail(failure)
    with pytest.raises(ValueError, match=said) as caught:
        publish(checkpoint)
    assert TOKEN not in str(caught.value) and "alice/reviews" in str(caught.value)
    if before:
        assert "Nothing has changed there" in str(caught.value)
        assert hub.commits("alice/reviews")[0].id == before
    hub.failures.clear()
    publish(checkpoint)  # goes on
    assert hub.files("alice/reviews")["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()


def test_an_upload_that_goes_on_does_not_send_large_files_again(hub, checkpoint):
    hub.fail(Failure(status=500, path_pattern="/commit/"))
    with pytest.raises(ValueError, match="what is uploaded is kept"):
        publish(checkpoint)
    publish(checkpoint)
    assert len([one for one in hub.requests if one.method == "PUT"]) == len(
        {one.path for one in hub.requests if one.method == "PUT"}
    )


def test_a_commit_whose_answer_is_lost_is_found_and_not_made_twice(hub, checkpoint):
    hub.fail(Failure("cut_download", path_pattern="/commit/", after_bytes=0))
    made = publish(checkpoint)
    assert hub.commits("alice/reviews")[0].id == made.commit and len(hub.commits("alice/reviews")) == 2
    assert made.tag == "v1"


def test_a_tag_that_fails_is_told_as_such(hub, checkpoint):
    hub.fail(Failure(status=500, path_pattern="/tag/"))
    with pytest.raises(ValueError, match=r"The files are there, as commit .*; the tag is missing"):
        publish(checkpoint)
    assert publish(checkpoint).tag == "v1" and hub.tags("alice/reviews").keys() == {"v1"}


def test_another_s_repository_and_a_name_that_is_none(hub, checkpoint):
    with pytest.raises(ValueError, match="may not write"):
        publish(checkpoint, "bob/reviews")
    with pytest.raises(ValueError, match="no name of a repository"):
        publish(checkpoint, "a/b/c")


def test_offline(hub, checkpoint, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="switched off by HF_HUB_OFFLINE"):
        publish(checkpoint)


def test_a_folder_that_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="is no checkpoint"):
        publish(tmp_path)


def test_raw_texts_are_read_from_what_was_held_out(checkpoint, tmp_path):
    texts = list(held_out_texts(checkpoint))
    assert texts and set(texts) <= set(RAW)
    shutil.rmtree(checkpoint)
    assert list(held_out_texts(checkpoint)) == []
