"""The recipe of texts' vectors runs from its YAML, and what it saves is sentence-transformers'."""

import json
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest

from hf_unlab.app.arguments import read_arguments
from hf_unlab.evaluation.features import features_of
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.settings import SentenceModelSettings, TextFewLabelSettings, TextPairDataSettings
from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainingArguments
from hf_unlab.testing import tiny_texts
from tests.recipes.helpers import refusal_of

SCRIPT, TINY = (recipe_path("text_contrastive", name) for name in ("pretrain.py", "tiny.yaml"))
FEW_STEPS = ["--max_steps", "3", "--logging_steps", "1", "--eval_strategy", "no", "--validation_fraction", "0.1"]
FEW_STEPS += ["--per_device_train_batch_size", "32"]
SMALL_TABLE = ["--num_labels_per_class", "2", "4", "--few_label_seeds", "0", "1", "--finetune_steps", "2"]
MEASURED = ["--eval_strategy", "steps", "--eval_steps", "3", "--online_measures", "effective_rank"]
SMALL = "hidden_size=16,num_hidden_layers=1,num_attention_heads=2,intermediate_size=24"

USE_WITHOUT_HF_UNLAB = """
import sys
from sentence_transformers import SentenceTransformer
vectors = SentenceTransformer(sys.argv[1], device="cpu").encode(["the red river", "a town"], show_progress_bar=False)
print(vectors.tolist())
assert not any(name.split(".")[0] == "hf_unlab" for name in sys.modules)
"""


def run_main(*argv):
    runpy.run_path(str(SCRIPT))["main"](list(map(str, argv)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Raw texts, pairs, and labelled texts that a single word gives away."""
    folder = tmp_path_factory.mktemp("data")

    def write(name, rows):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    texts = tiny_texts(600, num_words=30)
    write("raw.jsonl", [{"text": text} for text in texts])
    write("pairs.jsonl", [{"q": q, "a": a, "n": n} for q, a, n in zip(*(texts[i::3] for i in range(3)), strict=True)])
    for name, seed in (("train.jsonl", 5), ("test.jsonl", 6)):
        some = tiny_texts(40, seed=seed)
        write(name, [{"text": f"{'good' if i % 2 else 'bad'} {text}", "label": i % 2} for i, text in enumerate(some)])
    return folder


def raw(files):
    return ["--config", TINY, "--dataset", "json", "--data_files", files / "raw.jsonl", *FEW_STEPS]


def labels(files):
    given = ["--labelled_dataset", "json", "--labelled_train_files", files / "train.jsonl"]
    return [*given, "--labelled_test_files", files / "test.jsonl", *SMALL_TABLE]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, files):
    """A table of words, a few steps of it, with what is measured of it on the way."""
    folder = tmp_path_factory.mktemp("out") / "run"
    run_main(*raw(files), *labels(files), *MEASURED, "--output_dir", folder)
    return folder


def test_the_checkpoint_loads_in_a_process_that_never_imports_hf_unlab(pretrained):
    command = [sys.executable, "-c", USE_WITHOUT_HF_UNLAB, str(pretrained)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert result.returncode == 0, result.stderr
    ours = features_of(load_encoder(pretrained), ["the red river", "a town"])
    np.testing.assert_allclose(json.loads(result.stdout), ours, atol=1e-6)


def test_the_table_and_the_measures_are_saved(pretrained):
    table = json.loads((pretrained / "few_label.json").read_text())
    names = {row["name"] for row in table["rows"]}
    assert {"TF-IDF", "random weights", "pretrained"} <= names and table["num_labels_per_class"] == [2, 4]
    evaluation = json.loads((pretrained / "eval_results.json").read_text())
    assert {"eval_loss", "eval_contrastive_accuracy", "eval_effective_rank"} <= evaluation.keys()


def test_it_goes_on_from_its_own_checkpoint(pretrained, files, tmp_path):
    run_main(*raw(files), "--model", pretrained, "--learning_rate", "1e-9", "--output_dir", tmp_path)
    before, after = ((path / "tokenizer.json").read_text() for path in (pretrained, tmp_path))
    assert json.loads(before)["model"] == json.loads(after)["model"]
    vectors = [features_of(load_encoder(path), ["the red river"]) for path in (pretrained, tmp_path)]
    np.testing.assert_allclose(*vectors, atol=1e-4)


def test_it_resumes(files, tmp_path):
    given = [*raw(files), "--output_dir", tmp_path, "--save_steps", "2"]
    run_main(*given)
    run_main(*given, "--max_steps", "4", "--resume_from_checkpoint", "auto")
    state = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    assert [line["step"] for line in state["log_history"] if "loss" in line] == [1, 2, 3, 4]


def test_a_transformer_starts_from_the_tables_embeddings(pretrained, files, tmp_path):
    given = ["--model", "tiny", "--config_overrides", SMALL, "--initial_embeddings", pretrained, "--pooling", "cls"]
    run_main(*raw(files), *given, "--max_length", "32", "--output_dir", tmp_path)
    encoder = load_encoder(tmp_path)
    assert (encoder.pooling, encoder.max_length, encoder.has_unit_norm) == ("cls", 32, True)
    assert encoder.processor.get_vocab() == load_encoder(pretrained).tokenizer.get_vocab()


def test_masked_language_modelling_is_trained_beside_it(files, tmp_path):
    """And what is saved goes on, with its head, which a process without the weight leaves out."""
    size = ["--model", "tiny", "--config_overrides", SMALL, "--vocab_size", "300", "--max_length", "32"]
    run_main(*raw(files), *size, "--masked_lm_weight", "0.5", "--output_dir", tmp_path / "run")
    evaluation = json.loads((tmp_path / "run" / "eval_results.json").read_text())
    assert {"eval_contrastive", "eval_masked_lm"} <= evaluation.keys()
    more = ["--learning_rate", "1e-9", "--masked_lm_weight", "0.5", "--output_dir", tmp_path / "more"]
    run_main(*raw(files), "--model", tmp_path / "run", *more)
    vectors = [features_of(load_encoder(tmp_path / name), ["the red river"]) for name in ("run", "more")]
    np.testing.assert_allclose(*vectors, atol=1e-4)


@pytest.mark.parametrize("negative", [[], ["--negative_column", "n"]])
def test_pairs_and_hard_negatives_train_and_are_measured(files, tmp_path, negative):
    """By labels, and test texts are looked for in each column of them."""
    seen = json.loads((files / "pairs.jsonl").read_text().splitlines()[0])["n"]
    test = (files / "test.jsonl").read_text() + json.dumps({"text": seen.upper(), "label": 1})
    (tmp_path / "test.jsonl").write_text(test)
    pairs = ["--config", TINY, "--dataset", "json", "--data_files", files / "pairs.jsonl", *FEW_STEPS]
    columns = ["--anchor_column", "q", "--positive_column", "a", *negative]
    table = [*labels(files), "--labelled_test_files", tmp_path / "test.jsonl"]
    run_main(*pairs, *columns, *table, *MEASURED, "--num_readers", "1", "--output_dir", tmp_path / "run")
    overlaps = json.loads((tmp_path / "run" / "few_label.json").read_text())["overlaps"]
    assert overlaps == (["1 test example occurs in the pretraining data and is left out."] if negative else [])
    evaluation = json.loads((tmp_path / "run" / "eval_results.json").read_text())
    assert evaluation["eval_effective_rank"] > 1


def test_every_key_of_the_recipe_is_known():
    classes = (TextPairDataSettings, SentenceModelSettings, TextFewLabelSettings, TextContrastiveTrainingArguments)
    data, model, _, args = read_arguments(*classes, argv=["--config", str(TINY)])
    assert data.sources()[0].licence and model.model == "static" and args.max_passes == 6


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--dataset", "no/such/data.jsonl"], "Cannot read the source"),
        (["--model", "no-such-model"], "Cannot load the"),
        (["--views", "thirds"], "views must be some of halves, words, crops, same"),
        (["--anchor_column", "q"], "need both anchor_column and positive_column"),
        (["--temprature", "0.1"], "did you mean --temperature"),
        (["--masked_lm_weight", "0.5"], "'static' is a static table, which has no head of a masked language model"),
        (["--matryoshka_dims", "512"], "the model has 256 features"),
        (["--labelled_dataset", "no/such/labels.csv"], "Cannot read the source 'no/such/labels.csv'"),
        (["--resume_from_checkpoint", "nowhere"], "there is no such folder"),
    ],
)
def test_a_mistake_ends_in_one_message_and_code_2(settings, message, files, tmp_path, capsys):
    assert message in refusal_of(capsys, run_main, *raw(files), "--output_dir", tmp_path, *settings)
