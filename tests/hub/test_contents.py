"""contents.py: what of a checkpoint's folder goes up."""

import pytest

from hf_unlab.hub.contents import contents_of, is_published
from tests.hub.checkpoints import adapter, clip, mel, static


def test_of_a_run_the_model_its_tokenizer_and_its_proof(trained):
    contents = contents_of(trained)
    assert contents.kind == "transformers"
    assert set(contents.published) == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "few_label.json"),
        *(name for name in contents.published if name in ("generation_config.json", "special_tokens_map.json")),
    }
    assert contents.left_out["_held_out.parquet"] == "raw data"
    assert contents.left_out["_facts.json"] == contents.left_out["_run.json"] == "the run's own"
    assert {why for name, why in contents.left_out.items() if name.startswith("checkpoint-4/")} == {
        "a checkpoint of the run, with optimizer and stream state"
    }


@pytest.mark.parametrize(
    ("save", "kind"),
    [(static, "sentence-transformers"), (clip, "transformers"), (mel, "transformers"), (adapter, "peft")],
)
def test_what_a_library_saves_goes_up_whole(tmp_path, save, kind):
    folder = tmp_path / "out"
    save(folder)
    contents = contents_of(folder)
    assert contents.kind == kind and contents.left_out == {}


@pytest.mark.parametrize(
    "name",
    [
        *("optimizer.pt", "training_args.bin", "checkpoint-3/model.safetensors", "_held_out.parquet", ".env", "a.py"),
        *("data.jsonl", "cat.png", "../config.json", "sub/config.json", "1_Pooling/notes.json", "tokenizer.json.bak"),
    ],
)
def test_nothing_else_does(name):
    assert not any(is_published(name, kind) for kind in ("transformers", "sentence-transformers", "open_clip", "peft"))


def test_a_folder_without_weights_says_so(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no weights in the safetensors format: train it first"):
        contents_of(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin are pickled; save them with save_pretrained"):
        contents_of(tmp_path)
