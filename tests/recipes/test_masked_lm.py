"""Each recipe's script runs from its YAML, and what it saves is an ordinary checkpoint."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from hf_unlab.app.arguments import read_arguments
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings, TextModelSettings
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.testing import tiny_texts
from tests.recipes.helpers import refusal_of

SCRIPT = recipe_path("masked_lm", "pretrain.py")
FEW_STEPS = ["--max_steps", "3", "--logging_steps", "1", "--eval_strategy", "no"]
SMALL_TABLE = ["--num_labels_per_class", "2", "4", "--few_label_seeds", "0", "1", "--finetune_steps", "2"]

USE_WITHOUT_HF_UNLAB = """
import sys
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, pipeline
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
assert AutoModel.from_pretrained(folder)(**tokenizer("a text", return_tensors="pt")).last_hidden_state.shape[0] == 1
text = "Return the sum of the [MASK]s – schöne Grüße."
assert tokenizer.decode(tokenizer(text)["input_ids"][1:-1]) == text
guesses = pipeline("fill-mask", model=folder)("Return the [MASK].")
assert len(guesses) == 5 and all(guess["score"] > 0 for guess in guesses)
assert not any(name.split(".")[0] == "hf_unlab" for name in sys.modules)
"""


def run_main(*argv):
    runpy.run_path(str(SCRIPT))["main"](list(map(str, argv)))


@pytest.fixture(scope="module")
def labelled_files(tmp_path_factory):
    """Raw texts, and labelled ones that a single word gives away."""
    folder = tmp_path_factory.mktemp("data")

    def write(name, rows):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(folder / name)

    for shard in range(2):
        write(f"raw-{shard}.jsonl", [{"text": text} for text in tiny_texts(300, seed=shard, num_words=30)])
    for name, seed in (("train.jsonl", 5), ("test.jsonl", 6)):
        texts = tiny_texts(40, seed=seed)
        write(name, [{"text": f"{'good' if i % 2 else 'bad'} {text}", "label": i % 2} for i, text in enumerate(texts)])
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, labelled_files):
    """The README's command on loose files, a few steps of it."""
    folder = tmp_path_factory.mktemp("out") / "run"
    command = [
        "accelerate",
        "launch",
        "--num_processes",
        "1",
        str(SCRIPT),
        "--config",
        str(recipe_path("masked_lm", "tiny.yaml")),
    ]
    command[0] = str(Path(sys.executable).with_name("accelerate"))
    data = [
        "--dataset",
        "json",
        "--data_files",
        f"{labelled_files}/raw-*.jsonl",
        "--vocab_size",
        "400",
        "--num_readers",
        "2",
    ]
    labels = ["--labelled_dataset", "json", "--labelled_train_files", f"{labelled_files}/train.jsonl"]
    labels += ["--labelled_test_files", f"{labelled_files}/test.jsonl"]
    result = subprocess.run(
        [*command, *data, *labels, *FEW_STEPS, *SMALL_TABLE, "--output_dir", str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert result.returncode == 0, result.stderr
    return folder, result


def test_the_checkpoint_loads_in_a_process_that_never_imports_hf_unlab(pretrained):
    folder, _ = pretrained
    result = subprocess.run([sys.executable, "-c", USE_WITHOUT_HF_UNLAB, str(folder)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_table_is_printed_and_saved(pretrained):
    folder, result = pretrained
    table = json.loads((folder / "few_label.json").read_text())
    rows = {(row["name"], row["method"]): row for row in table["rows"]}
    assert {name for name, _ in rows} == {
        "TF-IDF",
        "random weights",
        "pretrained",
        "pretrained + TF-IDF",
        "from scratch",
    }
    assert table["num_labels_per_class"] == [2, 4] and table["num_test"] == 40 and table["overlaps"] == []
    assert all(0 <= value <= 1 for row in rows.values() for values in row["accuracies"].values() for value in values)
    assert "from scratch" in result.stdout and "AutoModelForMaskedLM.from_pretrained" in result.stdout


def test_the_output_has_no_noise_and_fits_80_columns(pretrained):
    folder, result = pretrained
    lines = result.stdout.replace(str(folder), "OUT").splitlines()
    assert [line for line in lines if len(line) > 80 and "raw-" not in line] == []
    # accelerate itself says which of its own options were left out
    rest = [line for line in result.stderr.splitlines() if "accelerate" not in line and not line.startswith("\t`--")]
    assert rest == []


def test_the_builtin_corpus_and_its_table(tmp_path):
    smaller = ["--config_overrides", "hidden_size=32,num_hidden_layers=1,intermediate_size=48"]
    smaller += ["--tokenizer_num_examples", "500", "--validation_num_examples", "50", "--few_label_max_test", "100"]
    tiny = recipe_path("masked_lm", "tiny.yaml")
    run_main("--config", tiny, *smaller, *FEW_STEPS, *SMALL_TABLE, "--output_dir", tmp_path)
    table = json.loads((tmp_path / "few_label.json").read_text())
    assert table["num_classes"] == 10 and table["overlaps"] == []


def test_continued_pretraining_of_a_checkpoint(pretrained, labelled_files, tmp_path):
    folder, _ = pretrained
    settings = ["--model", folder, "--dataset", "json", "--data_files", labelled_files / "raw-0.jsonl"]
    settings += ["--sequence_length", "16", "--max_steps", "2", "--validation_fraction", "0.1"]
    run_main(*settings, "--output_dir", tmp_path)
    before, after = ((path / "tokenizer.json").read_bytes() for path in (folder, tmp_path))
    assert before == after


def test_the_base_recipe_trains_when_it_is_made_small(labelled_files, tmp_path):
    small = "hidden_size=32,num_hidden_layers=3,num_attention_heads=2,intermediate_size=48"
    settings = ["--dataset", "json", "--data_files", labelled_files / "raw-0.jsonl", "--config_overrides", small]
    settings += ["--vocab_size", "400", "--sequence_length", "32", "--per_device_train_batch_size", "2"]
    settings += ["--dataloader_num_workers", "1", "--validation_fraction", "0.1", "--labelled_dataset", "json"]
    settings += ["--labelled_train_files", labelled_files / "train.jsonl"]
    settings += ["--labelled_test_files", labelled_files / "test.jsonl"]
    base = recipe_path("masked_lm", "base.yaml")
    run_main("--config", base, *settings, *FEW_STEPS, *SMALL_TABLE, "--output_dir", tmp_path)
    assert (tmp_path / "few_label.json").exists()


@pytest.mark.parametrize("name", ["tiny.yaml", "base.yaml"])
def test_every_key_of_the_recipes_is_known(name):
    classes = (TextDataSettings, TextModelSettings, TextFewLabelSettings, MaskedLMTrainingArguments)
    data, model, _, args = read_arguments(*classes, argv=["--config", str(recipe_path("masked_lm", name))])
    assert data.sources()[0].licence and model.model in name and args.max_steps > 1000


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--dataset", "no/such/data.jsonl"], "Cannot read the source"),
        (["--dataset", "builtin:docstring"], "there are: docstrings"),
        (["--model", "no-such-model"], "Cannot load the"),
        (["--masking_probability", "0.2"], "did you mean --mask_probability"),
        (["--mask_probability", "2"], "masking probability must lie between 0 and 1"),
        (["--labelled_dataset", "no/such/labels.csv"], "Cannot read the source 'no/such/labels.csv'"),
        (["--per_device_train_batch_size", "100000", "--dataloader_num_workers", "1"], "Too little data: reader"),
        (["--resume_from_checkpoint", "nowhere"], "there is no such folder"),
    ],
)
def test_a_mistake_ends_in_one_message_and_code_2(settings, message, tmp_path, capsys):
    base = ["--config", recipe_path("masked_lm", "tiny.yaml"), "--tokenizer_num_examples", "50"]
    assert message in refusal_of(capsys, run_main, *base, *FEW_STEPS, "--output_dir", tmp_path, *settings)


@pytest.mark.parametrize(
    "test_labels, message",
    [
        ([-1, -1], "None of the 2 examples"),
        ([0.5, 1.5], "regression"),
        ([["0", "1"], ["0"]], "multi-label"),
        ([0, 2], "labels that the training data lacks: 2"),
    ],
)
def test_labels_that_nothing_can_be_measured_by_end_the_run_before_it_trains(
    test_labels, message, labelled_files, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(MaskedLMTrainer, "train", lambda self, **given: pytest.fail("it trains"))
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(test_labels)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--dataset", "json", "--data_files", f"{labelled_files}/raw-0.jsonl", "--labelled_dataset", "json"]
    options += ["--labelled_train_files", f"{labelled_files}/train.jsonl", "--labelled_test_files"]
    assert message in refusal_of(capsys, run_main, *options, tmp_path / "test.jsonl", "--output_dir", tmp_path / "out")


@pytest.mark.skipif("HF_UNLAB_TEST_DATA" not in os.environ, reason="needs HF_UNLAB_TEST_DATA")
def test_imdb_reviews(tmp_path):
    imdb = Path(os.environ["HF_UNLAB_TEST_DATA"]) / "imdb"
    settings = ["--dataset", "json", "--data_files", f"{imdb}/unlabeled-*.jsonl", "--tokenizer_num_examples", "500"]
    settings += ["--labelled_dataset", "json", "--labelled_train_files", imdb / "train.jsonl"]
    settings += ["--labelled_test_files", imdb / "test.jsonl"]
    run_main(
        "--config",
        recipe_path("masked_lm", "tiny.yaml"),
        *settings,
        *FEW_STEPS,
        *SMALL_TABLE,
        "--output_dir",
        tmp_path,
    )
    table = json.loads((tmp_path / "few_label.json").read_text())
    assert table["num_classes"] == 2 and table["num_test"] == 700 and table["overlaps"][0].startswith("4 ")
