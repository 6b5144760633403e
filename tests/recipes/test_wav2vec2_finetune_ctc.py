"""The script that learns to transcribe: it reads clips, leaves bad ones out, shows results and how to load them."""

import json
import runpy

import numpy as np

from hf_unlab.hub.resources import recipe_path
from hf_unlab.training.alone import alone_and_quiet
from tests.objectives.wav2vec2.utterances import tiny_checkpoint, utterances, write_clips


def test_recipe_reads_clips_and_shows_results(tmp_path, capsys, caplog):
    checkpoint, rows = tiny_checkpoint(tmp_path / "checkpoint"), utterances(12, seed=0)
    for row in rows[1:5]:
        row["audio"] = np.concatenate([row["audio"]] * 8)  # too long to train on
    texts = [row["text"] for row in rows]
    file = write_clips(tmp_path / "clips.parquet", rows, sentence=texts)
    other = write_clips(tmp_path / "others.parquet", rows[::-1], sentence=texts[::-1])
    main = runpy.run_path(str(recipe_path("wav2vec2", "finetune_ctc.py")))["main"]
    given = ["--model", str(checkpoint), "--output_dir", str(tmp_path / "out"), "--dataset", "parquet"]
    given += ["--train_files", file, "--test_files", other, "--max_seconds", "2", "--use_cpu", "true"]
    with alone_and_quiet():
        main([*given, "--text_column", "sentence", "--max_steps", "1", "--max_train_minutes", "0.05"])
    results = json.loads((tmp_path / "out" / "ctc_results.json").read_text())
    assert results["num_test"] == 11 and 0 < results["train_minutes"] <= 0.05
    assert 1 < results["num_train"] < 7  # of seven that are whole and short enough
    assert "longer than 2 s" in caplog.text and "not audio" in caplog.text
    output = capsys.readouterr().out.replace(str(tmp_path), "OUT")
    assert "characters     words" in output and "AutoModelForCTC.from_pretrained" in output
    assert [line for line in output.splitlines() if len(line) > 80] == []
