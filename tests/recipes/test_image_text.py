"""The image-text recipe as people run it: from pairs to a table, to checkpoints that load without hf_unlab."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from hf_unlab.app.arguments import read_arguments
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.image_text.settings import DualEncoderSettings, ImageTextDataSettings
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.testing import tiny_dual_encoder, tiny_pairs
from tests.modalities.image_text.dual_encoders import make
from tests.processes.launching import IMAGE_TEXT, pretrain
from tests.recipes.helpers import refusal_of

TINY = recipe_path("image_text", "tiny.yaml")
FEW_STEPS = ["--max_steps", "3", "--eval_steps", "3", "--save_steps", "3", "--logging_steps", "1"]
FEW_STEPS += ["--per_device_train_batch_size", "8", "--dataloader_num_workers", "0", "--precision", "fp32"]
FEW_STEPS += ["--validation_num_examples", "50", "--tokenizer_num_examples", "500"]
SMALL_TABLE = ["--num_labels_per_class", "2", "--few_label_seeds", "0", "--few_label_max_test", "40"]
SMALL_TABLE += ["--finetune_steps", "1"]
USE_WITHOUT_HF_UNLAB = """
import sys, warnings
import open_clip, torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

library, *folders = sys.argv[1:]
picture, texts = Image.new("RGB", (20, 20), "red"), ["a red square 1", "a blue square 2"]
for folder in folders:
    if library == "open_clip":
        with warnings.catch_warnings(action="ignore"):
            model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
        features = model.encode_image(preprocess(picture)[None]), model.encode_text(tokens)
    else:
        model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
        features = model(**processor(text=texts, images=picture, return_tensors="pt", padding=True)).logits_per_text,
    assert all(torch.isfinite(each).all() for each in features)
assert "hf_unlab" not in sys.modules
"""


def run(*argv):
    pretrain([str(part) for part in argv], IMAGE_TEXT)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    Dataset.from_list(list(tiny_pairs(300))).to_parquet(path)
    return ["--dataset", "parquet", "--data_files", path, "--num_readers", "2"]


def test_glyphs_are_learnt_and_digits_are_the_table(tmp_path, capsys):
    run("--config", TINY, *FEW_STEPS, *SMALL_TABLE, "--output_dir", tmp_path)
    table = json.loads((tmp_path / "few_label.json").read_text())
    assert (table["task"], table["num_classes"], table["overlaps"]) == ("builtin:digits", 10, [])
    assert [(row["name"], row["method"]) for row in table["rows"]] == [
        ("raw pixels", "logistic regression"),
        ("random weights", "linear probe"),
        ("pretrained", "linear probe"),
        ("pretrained", "auto"),
        ("pretrained", "auto, unlabelled used again"),
        ("from scratch", "fine-tuned"),
        ("pretrained", "fine-tuned"),
        ("pretrained", "zero-shot"),
    ]
    evaluation = json.loads((tmp_path / "eval_results.json").read_text())
    assert evaluation["eval_zero_shot_accuracy"] * 40 == pytest.approx(table["rows"][-1]["accuracies"]["2"][0] * 40)
    fonts = set(Dataset.from_parquet(str(tmp_path / "_held_out.parquet")).column_names)
    assert fonts == {"image", "text"}
    output = capsys.readouterr().out.replace(str(tmp_path), "OUT")
    assert [line for line in output.splitlines() if len(line) > 80] == []
    assert "image to text: R@1" in output and "AutoProcessor.from_pretrained" in output
    code = subprocess.run([sys.executable, "-c", USE_WITHOUT_HF_UNLAB, "transformers", tmp_path], capture_output=True)
    assert code.returncode == 0, code.stderr


def test_open_clip_models_stay_open_clip_models(pairs, tmp_path, capsys):
    make("open_clip").save_pretrained(tmp_path / "model")
    settings = ["--model", f"open_clip:{tmp_path / 'model'}", "--gradient_accumulation_steps", "2"]
    run("--config", TINY, *pairs, *FEW_STEPS, *settings, "--output_dir", tmp_path / "out")
    output = capsys.readouterr().out
    assert "open_clip.create_model_and_transforms" in output and "No labelled data was named" in output
    folders = [tmp_path / "out", tmp_path / "out" / "checkpoint-3"]
    code = subprocess.run([sys.executable, "-c", USE_WITHOUT_HF_UNLAB, "open_clip", *folders], capture_output=True)
    assert code.returncode == 0, code.stderr


def test_tiny_goes_on_with_the_tokenizer_of_its_checkpoint(pairs, tmp_path):
    settings = ["--config", TINY, *pairs, *FEW_STEPS, "--output_dir", tmp_path]
    run(*settings)
    before = (tmp_path / "tokenizer.json").read_bytes()
    resumed = ["--max_steps", "6", "--vocab_size", "300", "--resume_from_checkpoint", "auto"]
    run(*settings, *resumed)
    assert (tmp_path / "tokenizer.json").read_bytes() == before
    state = json.loads((tmp_path / "checkpoint-6" / "trainer_state.json").read_text())
    assert [log["step"] for log in state["log_history"] if "loss" in log] == [1, 2, 3, 4, 5, 6]


def test_labelled_images_of_ones_own_are_the_table(pairs, tmp_path):
    rows = [{"img": pair["image"], "colour": pair["text"].split()[1]} for pair in tiny_pairs(80, seed=3)]
    for name, part in (("train", rows[:40]), ("test", rows[40:])):
        Dataset.from_list(part).to_parquet(tmp_path / f"{name}.parquet")
    labels = ["--labelled_dataset", "parquet", "--labelled_train_files", tmp_path / "train.parquet"]
    labels += ["--labelled_test_files", tmp_path / "test.parquet", "--labelled_image_column", "img"]
    labels += ["--label_column", "colour", "--zero_shot_templates", "a {} square", "a {} thing"]
    tiny_dual_encoder().save_pretrained(tmp_path / "model")
    model = ["--model", tmp_path / "model"]
    run("--config", TINY, *pairs, *model, *FEW_STEPS, *SMALL_TABLE, *labels, "--output_dir", tmp_path / "out")
    table = json.loads((tmp_path / "out" / "few_label.json").read_text())
    assert table["num_classes"] == 4 and table["num_test"] <= 40


@pytest.mark.parametrize("name", ["tiny.yaml", "base.yaml"])
def test_every_key_of_the_recipes_is_known(name):
    classes = (
        ImageTextDataSettings,
        DualEncoderSettings,
        ImageFewLabelSettings,
        ImageTextContrastiveTrainingArguments,
    )
    data, model, _, args = read_arguments(*classes, argv=["--config", str(recipe_path("image_text", name))])
    assert data.sources()[0].licence and model.model in name and args.max_steps >= 1000


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--dataset", "no/such/pairs.jsonl"], "Cannot read the source"),
        (["--model", "open_clip:ViT-Z"], "open_clip has no architecture 'ViT-Z'"),
        (["--loss", "triplet"], "invalid choice: 'triplet'"),
        (["--loss", "sigmoid"], "the sigmoid loss needs a bias"),
        (["--gradient_accumulation_steps", "2"], "The model has BatchNorm"),
        (["--caption_column", "title"], "unknown option --caption_column"),
        (["--text_column", "title"], "has no column 'title'"),
        (["--validation_column", "label"], "validation_column must be image or text"),
        (["--labelled_dataset", "no/such/labels.csv"], "Cannot read the source 'no/such/labels.csv'"),
        (["--labelled_dataset", "builtin:digits", "--few_label_seeds", "-1"], "A seed is -1"),
    ],
)
def test_a_mistake_ends_in_one_message_and_code_2(settings, message, pairs, tmp_path, capsys):
    error = refusal_of(capsys, run, "--config", TINY, *pairs, *FEW_STEPS, "--output_dir", tmp_path, *settings)
    assert message.lower() in error.lower()


@pytest.mark.skipif("HF_UNLAB_TEST_DATA" not in os.environ, reason="needs HF_UNLAB_TEST_DATA")
def test_emoji(tmp_path):
    emoji = Path(os.environ["HF_UNLAB_TEST_DATA"]) / "emoji"
    data = ["--dataset", "imagefolder", "--data_dir", emoji, "--validation_column", "text", "--num_readers", "1"]
    data += ["--validation_fraction", "0.1"]
    run("--config", TINY, *FEW_STEPS, *data, "--output_dir", tmp_path)
    held_out = Dataset.from_parquet(str(tmp_path / "_held_out.parquet"))
    assert len(set(held_out["text"])) == len(held_out) == 50
    assert all(image["bytes"] for image in held_out.to_dict()["image"])
