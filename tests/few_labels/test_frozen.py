"""Classifiers on a frozen encoder: learnt from few labels, saved and asked again, and what they refuse."""

import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.frozen import FINE_TUNED, FrozenClassifier, FrozenSettings, fit_frozen
from hf_unlab.few_labels.pool import SHARE
from hf_unlab.modalities import get_modality
from hf_unlab.testing import tiny_dual_encoder, tiny_static_model, tiny_texts
from tests.modalities.image.test_encoder import noisy_colours

TEXT = get_modality("text")
TEXTS = tiny_texts(160)
DATA = LabelledData(TEXTS, np.array([int("river" in text) for text in TEXTS]), ("dry", "wet"))
FEW = np.concatenate([np.flatnonzero(DATA.labels[:80] == label)[:6] for label in (0, 1)])
TRAIN, TEST, REST = DATA.take(FEW), DATA.take(np.arange(80, 160)), TEXTS[:80]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pretrained")
    tiny_static_model().save_pretrained(folder)
    (folder / "checkpoint-5").mkdir()
    (folder / "optimizer.pt").write_bytes(b"long")
    return folder


VIEWS = {"auto": ["encoder", "TF-IDF"], "probe": ["encoder"], "cheap": ["TF-IDF"]}


@pytest.mark.parametrize("method", VIEWS)
@pytest.mark.parametrize("second_use", ["both", None])
def test_it_learns_and_comes_back_the_same(tmp_path, checkpoint, method, second_use) -> None:
    source = tmp_path / "pretrained"
    shutil.copytree(checkpoint, source)
    classifier = fit_frozen(source, TEXT, TRAIN, REST, settings=FrozenSettings(method, second_use))
    answers = classifier.probabilities(TEST.inputs)
    np.testing.assert_allclose(answers.sum(1), 1)
    if method != "probe":  # the tiny table has 8 random features
        assert (answers.argmax(1) == TEST.labels).mean() > 0.75
    classifier.save(tmp_path / "saved", {"accuracy": 0.9})
    shutil.rmtree(source)  # nothing outside the folder is needed
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    again = FrozenClassifier.load(tmp_path / "moved")
    np.testing.assert_allclose(again.probabilities(TEST.inputs), answers, atol=1e-9)
    assert again.label_names == ("dry", "wet") and again.settings == FrozenSettings(method, second_use)
    card = json.loads((tmp_path / "moved/classifier.json").read_text())
    assert list(card["views"]) == VIEWS[method] and sum(card["views"].values()) == pytest.approx(1, abs=1e-3)
    assert card["labels"] == ["dry", "wet"] and card["metrics"] == {"accuracy": 0.9}
    assert str(tmp_path) not in json.dumps(card)


def test_the_encoder_within_is_the_published_one(tmp_path, checkpoint) -> None:
    fit_frozen(checkpoint, TEXT, TRAIN, REST).save(tmp_path)
    mine, theirs = (SentenceTransformer(str(folder)).encode(REST) for folder in (tmp_path / "encoder", checkpoint))
    np.testing.assert_array_equal(mine, theirs)
    names = {path.name for path in (tmp_path / "encoder").iterdir()}
    assert not names & {"checkpoint-5", "optimizer.pt"}


def test_groups_are_needed_again_where_labels_had_some(checkpoint) -> None:
    groups = tuple("ab"[i % 2] for i in range(len(TRAIN)))
    train = LabelledData(TRAIN.inputs, TRAIN.labels, TRAIN.label_names, groups)
    classifier = fit_frozen(checkpoint, TEXT, train, REST, ["a"] * len(REST))
    assert classifier.probabilities(TEST.inputs, ["a"] * len(TEST)).shape == (80, 2)
    with pytest.raises(ValueError, match="none are given"):
        classifier.probabilities(TEST.inputs)
    with pytest.raises(ValueError, match="name groups of both"):
        fit_frozen(checkpoint, TEXT, train, REST)


def test_what_cannot_be_learnt_or_loaded_is_said(tmp_path, checkpoint) -> None:
    with pytest.raises(ValueError, match="all 6 labels are 'dry'"):
        fit_frozen(checkpoint, TEXT, TRAIN.take(np.flatnonzero(TRAIN.labels == 0)))
    with pytest.raises(ValueError, match="there is no label"):
        fit_frozen(checkpoint, TEXT, TRAIN.take(np.array([], dtype=int)))
    with pytest.raises(ValueError, match="method is 'lora-x'"):
        FrozenSettings("lora-x")
    with pytest.raises(ValueError, match="network is 'big'"):
        FrozenSettings(network="big")
    with pytest.raises(ValueError, match="hf-unlab finetune"):
        FrozenClassifier.load(tmp_path)


def test_a_thousand_classes_of_one_label_each(checkpoint) -> None:
    texts = [f"{text} w{number}" for number, text in enumerate(tiny_texts(1000))]
    data = LabelledData(texts, np.arange(1000), tuple(f"c{i}" for i in range(1000)))
    settings = FrozenSettings(second_use=None)
    assert fit_frozen(checkpoint, TEXT, data, settings=settings).probabilities(texts[:3]).shape == (3, 1000)


@pytest.fixture
def pairs(tmp_path):
    torch.manual_seed(0)
    tiny_dual_encoder().save_pretrained(tmp_path / "pairs")
    return tmp_path / "pairs"


IMAGES, COLOURS = noisy_colours(np.arange(80) % 2, 0), np.arange(80) % 2
LABELLED = LabelledData(IMAGES[:12], COLOURS[:12], ("blue", "red"))


def test_a_network_is_asked_beside_the_probes_and_kept_with_them(tmp_path, pairs) -> None:
    modality = get_modality("image_text")
    classifier = fit_frozen(pairs, modality, LABELLED, IMAGES[12:72], seed=3)
    assert classifier.tuned is not None and 0 < classifier.tuned.share < 1
    answers = classifier.probabilities(IMAGES)
    without = fit_frozen(pairs, modality, LABELLED, IMAGES[12:72], settings=FrozenSettings(network="never"))
    assert without.tuned is None and np.abs(without.probabilities(IMAGES) - answers).max() > 1e-3
    classifier.save(tmp_path / "saved")
    shutil.rmtree(pairs)
    again = FrozenClassifier.load(tmp_path / "saved")
    np.testing.assert_allclose(again.probabilities(IMAGES), answers, atol=1e-6)
    shares = json.loads((tmp_path / "saved/classifier.json").read_text())["views"]
    assert list(shares)[-1] == FINE_TUNED and sum(shares.values()) == pytest.approx(1, abs=1e-3)
    without.checkpoint = str(tmp_path / "saved/encoder")
    without.save(tmp_path / "other")
    assert not (tmp_path / "other/network.safetensors").exists()
    assert FrozenClassifier.load(tmp_path / "other").tuned is None


def test_with_one_label_and_nothing_to_ask_there_is_no_network(pairs) -> None:
    one, modality = LABELLED.take(np.arange(2)), get_modality("image_text")
    assert fit_frozen(pairs, modality, one).tuned is None
    assert fit_frozen(pairs, modality, one, IMAGES[12:72]).tuned is not None
    assert fit_frozen(pairs, modality, LABELLED).tuned.share == SHARE
    assert fit_frozen(pairs, modality, LABELLED, settings=FrozenSettings("probe")).tuned is None
