"""Files of checkpoints, which may be folders or names of the Hub."""

from hf_unlab.modalities.checkpoint_files import checkpoint_hash, find_file, read_json


def test_files_of_a_folder(tmp_path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"a": "é"}', encoding="utf-8")
    assert find_file(tmp_path, "1_Pooling/config.json") == tmp_path / "1_Pooling" / "config.json"
    assert read_json(str(tmp_path), "1_Pooling/config.json") == {"a": "é"}
    assert find_file(tmp_path, "config.json") is None and read_json(tmp_path, "config.json") is None


def test_what_cannot_be_a_repository_has_no_files(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("no/such/name/anywhere", "some/where"):
        assert find_file(name, "config.json") is None


def test_a_checkpoints_hash_is_that_of_its_weights(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = checkpoint_hash(tmp_path)
    (tmp_path / "_run.json").write_text("a run's own")
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-10" / "config.json").write_text("older")
    (tmp_path / "_abandoned-checkpoint-20").mkdir()
    (tmp_path / "_abandoned-checkpoint-20" / "model.safetensors").write_bytes(b"older")
    for name in ("eval_results.json", "all_results.json", "trainer_state.json", "few_label.json"):
        (tmp_path / name).write_text('{"eval_runtime": 1.7}')
    assert checkpoint_hash(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"others")
    assert checkpoint_hash(tmp_path) != first


def test_checkpoints_of_a_run_differ_although_their_folders_are_named_so(tmp_path) -> None:
    for step in (10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"weights %d" % step)
    assert checkpoint_hash(tmp_path / "checkpoint-10") != checkpoint_hash(tmp_path / "checkpoint-20")
