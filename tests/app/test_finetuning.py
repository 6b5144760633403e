"""`hf-unlab finetune` and `hf-unlab predict` as they are typed."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from hf_unlab.few_labels.frozen import FrozenClassifier
from hf_unlab.testing import tiny_dual_encoder, tiny_static_model, tiny_texts
from tests.app.test_embedding import invoke
from tests.modalities.text.test_encoder import save_bert

TEXTS = tiny_texts(160)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    tiny_static_model().save_pretrained(tmp_path / "pretrained")
    return str(tmp_path / "pretrained")


@pytest.fixture
def files(tmp_path):
    """Training and test data, and the same without labels."""
    rows = [{"body": text, "kind": "wet" if "river" in text else "dry"} for text in TEXTS]
    parts = {"train": rows[:80], "test": rows[80:], "raw": [{"body": row["body"]} for row in rows[80:]]}
    for name, part in parts.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return {name: str(tmp_path / f"{name}.jsonl") for name in parts}


def options(files, *names: str) -> tuple[str, ...]:
    named = [word for name in names for word in (f"--labelled_{name}_files", files[name])]
    return ("json", *named, "--label_column", "kind", "--labelled_text_column", "body")


def test_a_classifier_is_made_measured_saved_and_asked(tmp_path, checkpoint, files) -> None:
    out = tmp_path / "classifier"
    said = invoke("finetune", checkpoint, *options(files, "train", "test"), "-o", str(out), "--labels_per_class", "8")
    assert "16 labels of 2 classes, 64 without label" in said and "Right of 80 test examples" in said
    assert f"hf-unlab predict {out} DATA" in " ".join(said.split())
    metrics = json.loads((out / "classifier.json").read_text())["metrics"]
    assert metrics["num_labels"] == 16 and metrics["num_test"] == 80 and metrics["accuracy"] > 0.75

    answers = tmp_path / "answers.csv"
    rows = [json.loads(line) for line in Path(files["raw"]).read_text().splitlines()]
    rows[3]["body"] = "  "  # nothing to read: no answer
    (tmp_path / "raw2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ("json", "--data_files", str(tmp_path / "raw2.jsonl"), "--text_column", "body")
    assert "79 rows answered" in invoke("predict", str(out), *data, "-o", str(answers))
    found = list(csv.DictReader(answers.read_text().splitlines()))
    assert [int(row["row"]) for row in found] == [0, 1, 2, *range(4, 80)]
    assert all(
        float(row["probability of dry"]) + float(row["probability of wet"]) == pytest.approx(1, abs=1e-5)
        for row in found
    )
    right = [row["label"] == ("wet" if "river" in TEXTS[80 + int(row["row"])] else "dry") for row in found]
    assert sum(right) / len(right) > 0.75
    wanted = FrozenClassifier.load(out).probabilities([TEXTS[80]])[0]
    assert float(found[0]["probability of dry"]) == pytest.approx(wanted[0], abs=1e-4)


def test_files_to_learn_from_alone_and_data_without_labels(tmp_path, checkpoint, files) -> None:
    out = tmp_path / "classifier"
    said = invoke(
        *("finetune", checkpoint, *options(files, "train"), "-o", str(out), "--method", "cheap"),
        *("--unlabelled", "json", "--second_use", "self-training", "--unlabelled_files", files["raw"]),
    )
    assert "80 labels of 2 classes, 80 without label" in said and "Right of" not in said
    assert json.loads((out / "classifier.json").read_text())["settings"] == {
        "method": "cheap",
        "second_use": "self-training",
        "network": "small",
    }


def test_mistakes_are_said_in_a_line(tmp_path, checkpoint, files) -> None:
    train = options(files, "train")
    assert "network is 'big'" in invoke("finetune", checkpoint, *train, "--network", "big", code=2)
    assert "method is 'magic'" in invoke("finetune", checkpoint, *train, "--method", "magic", code=2)
    assert "another folder" in invoke("finetune", checkpoint, *train, "-o", checkpoint, code=2)
    one = tmp_path / "one.jsonl"
    one.write_text("".join(json.dumps({"body": text, "kind": "wet"}) + "\n" for text in TEXTS[:5]))
    said = invoke("finetune", checkpoint, *options({"train": str(one)}, "train"), "-o", str(tmp_path / "x"), code=2)
    assert "'wet'" in said
    assert ".csv or .tsv" in invoke("predict", str(tmp_path), "json", "-o", str(tmp_path / "a.txt"), code=2)
    assert "hf-unlab finetune" in " ".join(
        invoke("predict", str(tmp_path), "json", "-o", str(tmp_path / "a.csv"), code=2).split()
    )


def test_a_network_learns_from_labels_alone_and_what_is_tested_is_never_learnt(tmp_path, checkpoint, files) -> None:
    said = invoke(
        *("finetune", checkpoint, *options(files, "train", "test"), "-o", str(tmp_path / "x"), "--unlabelled", "json"),
        *("--unlabelled_files", files["raw"]),
        code=2,
    )
    assert "There is nothing to test on" in " ".join(said.split())  # all of the test texts are there without label
    said = invoke(
        *("finetune", checkpoint, *options(files, "train"), "--method", "lora", "--unlabelled", "json"),
        *("-o", str(tmp_path / "x")),
        code=2,
    )
    assert "learns from labels alone" in said
    save_bert(tmp_path / "bert")
    out = tmp_path / "network"
    said = invoke(
        *("finetune", str(tmp_path / "bert"), *options(files, "train", "test"), "-o", str(out)),
        *("--method", "lora", "--labels_per_class", "3"),
    )
    assert "steps of lora" in said and "6 labels of 2 classes, 0 without label" in said
    assert (out / "adapter_config.json").is_file()
    answers = tmp_path / "answers.tsv"
    data = ("json", "--data_files", files["raw"], "--text_column", "body")
    assert "80 rows answered" in invoke("predict", str(out), *data, "-o", str(answers))
    assert answers.read_text().splitlines()[0] == "row\tlabel\tprobability of dry\tprobability of wet"


def test_images_of_pairs_and_a_file_alone(tmp_path, files) -> None:
    torch.manual_seed(0)
    tiny_dual_encoder().save_pretrained(tmp_path / "pairs")
    for part in ("train", "test"):
        for number in range(12):
            colour = (number % 2 * 200, 20 + 30 * (part == "test"), 200 - number % 2 * 200)
            path = tmp_path / f"pictures/{part}/{'red' if number % 2 else 'blue'}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16 + number, 16), colour).save(path)
    out, pictures = tmp_path / "classifier", str(tmp_path / "pictures")
    said = invoke(
        *("finetune", str(tmp_path / "pairs"), "imagefolder", "--labelled_data_dir", pictures, "-o", str(out)),
        *("--labels_per_class", "3"),
    )
    assert "6 labels of 2 classes, 6 without label" in said
    assert "fine-tuned 50%" in " ".join(said.split()) and (out / "network.safetensors").is_file()
    data = ("imagefolder", "--data_dir", pictures, "--split", "test")
    assert "12 rows answered" in invoke("predict", str(out), *data, "-o", str(tmp_path / "a.csv"))

    torch.manual_seed(0)
    tiny_static_model().save_pretrained(tmp_path / "table")
    columns = ("--label_column", "kind", "--labelled_text_column", "body")
    said = invoke("finetune", str(tmp_path / "table"), files["train"], *columns, "-o", str(tmp_path / "other"))
    assert "80 labels of 2 classes" in said


def test_rare_classes_and_copies_are_told(tmp_path, checkpoint, files) -> None:
    said = invoke(
        *("finetune", checkpoint, *options(files, "train", "test"), "-o", str(tmp_path / "c")),
        *("--labels_per_class", "60", "--second_use", "none"),
    )
    assert "fewer than 60 labels" in " ".join(said.split())


@pytest.mark.parametrize("method", ["centroid", "pairs-lora"])
def test_an_encoder_and_a_head_are_made_and_asked(tmp_path, files, method) -> None:
    save_bert(tmp_path / "bert")
    train, out = options(files, "train", "test"), tmp_path / "out"
    said = invoke("finetune", str(tmp_path / "bert"), *train, "-o", str(out), "--method", method)
    assert f"steps of {method}" in said and "80 labels of 2 classes, 0 without label" in said
    assert (out / "head.joblib").is_file() and (out / "encoder/config.json").is_file()
    data = ("json", "--data_files", files["raw"], "--text_column", "body")
    assert "80 rows answered" in invoke("predict", str(out), *data, "-o", str(tmp_path / "answers.csv"))
