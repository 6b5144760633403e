"""The script that fine-tunes: it reads clips, leaves bad ones out, and shows results and how to load the model."""

import json
import runpy

import numpy as np
import pytest

from hf_unlab.app.resources import recipe_path
from hf_unlab.training.finetuning import alone_and_quiet
from tests.objectives.wav2vec2.utterances import tiny_checkpoint, utterances, write_clips


def test_recipe_reads_clips_and_shows_results(tmp_path, capsys, caplog):
    checkpoint, rows = tiny_checkpoint(tmp_path / "checkpoint"), utterances(12, seed=0)
    for row in rows[1:5]:
        row["audio"] = np.concatenate([row["audio"]] * 8)  # too long to train on
    texts, labels = [row["text"] for row in rows], [row["text"][0] for row in rows]
    file = write_clips(tmp_path / "clips.parquet", rows, sentence=texts, label=labels)
    other = write_clips(tmp_path / "others.parquet", rows[::-1], sentence=texts[::-1], label=labels[::-1])
    main = runpy.run_path(str(recipe_path("wav2vec2", "finetune.py")))["main"]
    given = ["--model", str(checkpoint), "--output_dir", str(tmp_path / "out"), "--dataset", "parquet"]
    given += ["--train_files", file, "--test_files", other, "--max_seconds", "2", "--use_cpu", "true"]
    ctc = [*given, "--text_column", "sentence", "--max_steps", "1", "--max_train_minutes", "0.05"]
    few = ["--task", "classification", "--num_labels_per_class", "1"]
    with alone_and_quiet():
        main(ctc)
        main([*given, *few, "--max_steps", "1"])
    results = json.loads((tmp_path / "out" / "ctc_results.json").read_text())
    assert results["num_test"] == 11 and 0 < results["train_minutes"] <= 0.05
    assert 1 < results["num_train"] < 7  # of seven that are whole and short enough
    results = json.loads((tmp_path / "out" / "classification_results.json").read_text())
    assert results["num_train"] == len(results["label_names"]) > 1 and results["num_test"] == 11
    assert "longer than 2 s" in caplog.text and "not audio" in caplog.text
    output = capsys.readouterr().out.replace(str(tmp_path), "OUT")
    assert "characters     words" in output and "AutoModelForCTC.from_pretrained" in output
    assert "Accuracy in %" in output and "AutoModelForAudioClassification.from_pretrained" in output
    assert [line for line in output.splitlines() if len(line) > 80] == []


def test_a_setting_that_would_have_no_effect_ends_in_one_line(tmp_path, capsys):
    main = runpy.run_path(str(recipe_path("wav2vec2", "finetune.py")))["main"]
    given = ["--model", "m", "--output_dir", str(tmp_path), "--task", "classification", "--lowercase", "true"]
    with pytest.raises(SystemExit):
        main(given)
    assert "lowercase would have no effect on --task classification; leave" in capsys.readouterr().err
