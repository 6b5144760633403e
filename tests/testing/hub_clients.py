"""What real clients do with a Hub, in a process of their own: `python hub_clients.py NAME`; prints JSON.

They read HF_ENDPOINT and the like when they are imported, so that a test's own process cannot run them.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    hf_hub_download,
    snapshot_download,
)

API = HfApi()
WEIGHTS = bytes(range(256)) * 4000


def error_of(function, *args, **kwargs):
    """The exception's name, the status of its answer, and what it says; None for no exception."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return [type(error).__name__, status, str(error)]
    return None


def publish():
    """Everything that publishing a model asks for, and reading it back."""
    folder = Path("model")
    (folder / "a b").mkdir(parents=True)
    for name, content in {"README.md": b"# A model", "a b/c#d.json": b"{}", "model.safetensors": WEIGHTS}.items():
        (folder / name).write_bytes(content)
    repo = "alice/model"
    found = {"user": API.whoami()["name"], "url": str(API.create_repo(repo, private=True))}
    API.create_repo(repo, exist_ok=True)
    found["exists"] = error_of(API.create_repo, repo)
    found["another's"] = error_of(API.create_repo, "bob/model")
    first = API.upload_folder(repo_id=repo, folder_path=folder, commit_message="Add", commit_description="all of it")
    again = API.upload_folder(repo_id=repo, folder_path=folder)
    found["first"], found["again"] = first.oid, again.oid
    API.create_tag(repo, tag="v1")
    API.create_tag(repo, tag="v1", exist_ok=True)
    found["tagged"] = error_of(API.create_tag, repo, tag="v1")
    add = CommitOperationAdd("new.txt", b"new")
    parent = API.list_repo_commits(repo)[1].commit_id
    found["stale"] = error_of(API.create_commit, repo, [add], commit_message="No", parent_commit=parent)
    delete = CommitOperationDelete("nothing.txt")
    found["missing"] = error_of(API.create_commit, repo, [add, delete], commit_message="No")
    found["files"] = API.list_repo_files(repo)
    API.create_branch(repo, branch="try/one", revision="v1")
    API.create_branch(repo, branch="try/one", exist_ok=True)
    API.upload_file(repo_id=repo, path_or_fileobj=b"new", path_in_repo="new.txt", revision="try/one")
    API.delete_files(repo, ["a b/*"])
    refs = API.list_repo_refs(repo)
    found["branches"], found["tags"] = [ref.name for ref in refs.branches], [ref.name for ref in refs.tags]
    found["commits"] = [[commit.title, commit.message, commit.authors] for commit in API.list_repo_commits(repo)]
    siblings = API.repo_info(repo, files_metadata=True).siblings
    found["sizes"] = {file.rfilename: [file.size, file.lfs is not None] for file in siblings}
    paths = API.get_paths_info(repo, ["README.md", "a b", "nothing"], revision="v1", expand=True)
    found["paths"] = [[path.path, path.last_commit.title] for path in paths]
    found["read"] = Path(hf_hub_download(repo, "a b/c#d.json", revision="try/one")).read_text()
    snapshot = Path(snapshot_download(repo, revision="v1"))
    found["snapshot"] = (snapshot / "model.safetensors").read_bytes() == WEIGHTS
    found["part"] = HfFileSystem().cat_file(f"{repo}/model.safetensors", start=7, end=10).hex()
    found["there"] = [API.file_exists(repo, "new.txt"), API.revision_exists(repo, "v2"), API.repo_exists("alice/no")]
    found["anonymous"], found["bob"], found["unknown"] = (
        error_of(API.repo_info, repo, token=token) for token in (False, "hf_bob", "hf_unknown")
    )
    API.update_repo_settings(repo, private=False)
    found["public"] = API.repo_info(repo, token=False).private
    found["to another's"] = error_of(API.delete_files, repo, ["*"], token="hf_bob")
    API.delete_tag(repo, tag="v1")
    API.delete_branch(repo, branch="try/one")
    many = [CommitOperationAdd(f"many/{number:04d}", b"%d" % number) for number in range(2100)]
    API.create_commit(repo, many, commit_message="Many")
    found["many"] = len(list(API.list_repo_tree(repo, "many")))
    API.create_repo("alice/gone")
    API.delete_repo("alice/gone")
    API.delete_repo("alice/gone", missing_ok=True)
    return found


def uploads():
    """Name of a repository -> the exception of a commit of two files, one of them LFS, and the waits before."""
    files = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    waits, outcomes = [], {}
    time.sleep = waits.append
    for name in json.loads(os.environ["NAMES"]):
        API.create_repo(f"alice/{name}")
        additions = [CommitOperationAdd(path, content) for path, content in files.items()]
        error = error_of(API.create_commit, f"alice/{name}", additions, commit_message="Add")
        outcomes[name] = [error and error[0], error and error[1], list(waits)]
        waits.clear()
    return outcomes


def downloads():
    """Name of a repository -> SHA-256 of its file, or the exception of its download, and the waits before."""
    waits, outcomes = [], {}
    time.sleep = waits.append
    for name in json.loads(os.environ["NAMES"]):
        paths = []
        error = error_of(
            lambda name=name, paths=paths: paths.append(hf_hub_download(f"alice/{name}", "model.safetensors"))
        )
        sha256 = None if error else hashlib.sha256(Path(paths[0]).read_bytes()).hexdigest()
        outcomes[name] = [sha256, error and error[0], error and error[1], list(waits)]
        waits.clear()
    return outcomes


def data():
    """Data sets, streamed."""
    import datasets

    API.create_repo("alice/lines", repo_type="dataset", private=True)
    lines = "".join(json.dumps({"text": f"line {number}"}) + "\n" for number in range(30))
    API.upload_file(
        repo_id="alice/lines", path_or_fileobj=lines.encode(), path_in_repo="train.jsonl", repo_type="dataset"
    )
    datasets.Dataset.from_dict({"text": ["one", "two"]}).push_to_hub("alice/table", private=True)
    found = {
        name: [row["text"] for row in datasets.load_dataset(f"alice/{name}", split="train", streaming=True)]
        for name in ("lines", "table")
    }
    files = "hf://datasets/alice/lines/*.jsonl"
    part = datasets.load_dataset("json", data_files=files, split="train", streaming=True)
    return {**found, "files": len(list(part))}


def models():
    """Models of every library, published and loaded."""
    import open_clip
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import save_file
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, BertConfig, BertModel

    def same(one, other):
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        return all(torch.equal(*pair) for pair in pairs)

    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertModel(BertConfig(vocab_size=50, **tiny))
    bert.push_to_hub("alice/bert", private=True)
    found = {"transformers": same(bert, AutoModel.from_pretrained("alice/bert"))}

    adapted = get_peft_model(AutoModel.from_pretrained("alice/bert"), LoraConfig(init_lora_weights=False))
    adapted.push_to_hub("alice/adapter")
    found["peft"] = same(adapted, PeftModel.from_pretrained(AutoModel.from_pretrained("alice/bert"), "alice/adapter"))

    vision = {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
    text = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
    clip_config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    clip, folder = open_clip.CLIP(**clip_config), Path("clip")
    folder.mkdir()
    save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3}
    config = json.dumps({"model_cfg": clip_config, "preprocess_cfg": preprocessing})
    (folder / "open_clip_config.json").write_text(config)
    API.create_repo("alice/clip")
    API.upload_folder(repo_id="alice/clip", folder_path=folder)
    found["open_clip"] = same(clip, open_clip.create_model("hf-hub:alice/clip"))

    sentences = SentenceTransformer(modules=[static_embedding()])
    sentences.push_to_hub("alice/sentences", private=True)
    found["sentence-transformers"] = same(sentences, SentenceTransformer("alice/sentences"))
    return found


def static_embedding():
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return StaticEmbedding(Tokenizer(WordLevel({"one": 0, "two": 1, "[UNK]": 2}, unk_token="[UNK]")), embedding_dim=4)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
