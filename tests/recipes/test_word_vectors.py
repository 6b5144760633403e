"""The recipe of word vectors runs from its YAML with either objective, and what it saves is compared by its script."""

import json
import runpy
import sys

import pytest

from hf_unlab.app.arguments import read_arguments
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.settings import SentenceModelSettings, TextDataSettings, TextFewLabelSettings
from hf_unlab.objectives.word_vectors.arguments import WordVectorsTrainingArguments
from hf_unlab.testing import tiny_texts

SCRIPT, TINY = recipe_path("word_vectors", "pretrain.py"), recipe_path("word_vectors", "tiny.yaml")


def run_main(script, *options):
    return runpy.run_path(str(script))["main"](*options)


def write_labelled(path, num_rows, seed):
    rows = [{"text": text, "label": number % 2} for number, text in enumerate(tiny_texts(num_rows, seed=seed))]
    rows = [{**row, "text": f"{row['text']} {'good' if row['label'] else 'bad'}"} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("objective", ["skip_gram", "glove"])
def test_the_recipe_runs_and_its_tables_are_compared(objective, tmp_path, capsys):
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(300)))
    train, test = (write_labelled(tmp_path / f"{seed}.jsonl", 120, seed) for seed in (1, 2))
    few = ["--max_steps", "3", "--logging_steps", "1", "--eval_strategy", "no", "--validation_fraction", "0.1"]
    few += ["--per_device_train_batch_size", "8", "--num_features", "8", "--objective", objective]
    out = tmp_path / "out"
    run_main(
        SCRIPT, ["--config", str(TINY), "--dataset", "json", "--data_files", str(raw), *few, "--output_dir", str(out)]
    )
    assert load_encoder(out).embed(load_encoder(out).collate(["a river"])).shape == (1, 8)
    capsys.readouterr()
    files = ["--train_file", str(train), "--test_file", str(test)]
    run_main(recipe_path("word_vectors", "compare.py"), ["--checkpoints", str(out), *files])
    name, _, cells = capsys.readouterr().out.strip().rpartition(": ")
    assert name == str(out) and len(cells.split(" | ")) == 3


def test_every_key_of_the_recipe_is_known():
    classes = (TextDataSettings, SentenceModelSettings, TextFewLabelSettings, WordVectorsTrainingArguments)
    data, model, _, args = read_arguments(*classes, argv=["--config", str(TINY)])
    assert data.sources()[0].licence and model.model == "static" and args.objective == "skip_gram"


def test_gensim_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    given = ["--files", "raw.jsonl", "--output_dir", str(tmp_path)]
    with pytest.raises(SystemExit, match="pip install gensim"):
        run_main(recipe_path("word_vectors", "gensim_word2vec.py"), given)
