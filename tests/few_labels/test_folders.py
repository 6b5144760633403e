"""Folders of classifiers: described, with the encoder and nothing else of its training, and made room in."""

import pytest

from hf_unlab.few_labels.folders import CARD_NAME, copy_encoder, make_room, read_card, write_card
from hf_unlab.modalities import get_modality


def test_an_encoder_is_copied_without_its_training_and_not_into_itself(tmp_path) -> None:
    for name in (
        "config.json",
        "optimizer.pt",
        "_run.json",
        "all_results.json",
        "report.html",
        "checkpoint-5/config.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    out = tmp_path / "out"
    out.mkdir()
    assert copy_encoder(str(tmp_path), out) == "encoder" and copy_encoder("name/model", out) == "name/model"
    assert [path.name for path in (out / "encoder").iterdir()] == ["config.json"]


def test_room_is_made_where_a_classifier_was_and_nowhere_else(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    make_room(tmp_path)
    assert (tmp_path / "config.json").exists()
    write_card(tmp_path, ["no", "yes"], get_modality("text"), ".", {}, None, more=1)
    assert read_card(tmp_path)["labels"] == ["no", "yes"] and read_card(tmp_path)["more"] == 1
    make_room(tmp_path)
    assert not (tmp_path / "config.json").exists() and not (tmp_path / CARD_NAME).exists()
    with pytest.raises(ValueError, match="hf-unlab finetune"):
        read_card(tmp_path)
