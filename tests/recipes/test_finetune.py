"""The scripts that learn a classifier from a few labels: one for each family, all of them `hf-unlab finetune`."""

import json
import runpy

import pytest
import torch

from hf_unlab.app.arguments import read_arguments
from hf_unlab.app.finetuning import FinetuneSettings
from hf_unlab.few_labels.kept import load_classifier
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities import get_modality
from hf_unlab.testing import tiny_static_model, tiny_texts

FAMILIES = {
    "text_contrastive": "text",
    "masked_lm": "text",
    "image_text": "image_text",
    "wav2vec2": "audio",
    "clusters": "audio",
}


def run(family: str, argv: list[str], monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["finetune.py", *argv])
    runpy.run_path(str(recipe_path(family, "finetune.py")), run_name="__main__")


@pytest.mark.parametrize("family", FAMILIES)
def test_its_settings_are_read_and_name_what_the_quickstart_makes(family):
    settings = get_modality(FAMILIES[family]).few_label_settings
    config = str(recipe_path(family, "few_label.yaml"))
    labelled, told = read_arguments(settings, FinetuneSettings, argv=["--config", config])
    assert told.method == "auto" and told.labels_per_class and labelled.labelled_dataset.startswith("builtin:")
    assert told.model == f"outputs/quickstart/{family}"


def test_a_classifier_comes_out_and_a_mistake_is_a_line(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    tiny_static_model().save_pretrained(tmp_path / "pretrained")
    rows = [{"text": text, "label": "wet" if "river" in text else "dry"} for text in tiny_texts(60)]
    for name, part in (("train", rows[:40]), ("test", rows[40:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    argv = [
        "--config",
        str(recipe_path("text_contrastive", "few_label.yaml")),
        "--model",
        str(tmp_path / "pretrained"),
    ]
    argv += ["--output_dir", str(tmp_path / "out"), "--labelled_dataset", "json", "--labels_per_class", "4"]
    files = ["--labelled_train_files", str(tmp_path / "train.jsonl")]
    files += ["--labelled_test_files", str(tmp_path / "test.jsonl")]
    run("text_contrastive", [*argv, *files], monkeypatch)
    assert "8 labels of 2 classes, 32 without label" in capsys.readouterr().out
    assert load_classifier(tmp_path / "out").probabilities(["a river"]).shape == (1, 2)
    for wrong, said in ((["--method", "magic"], "method is 'magic'"), (["--labels_per_clas", "4"], "did you mean")):
        with pytest.raises(SystemExit) as ended:
            run("text_contrastive", [*argv, *files, *wrong], monkeypatch)
        assert ended.value.code == 2
        assert said in "".join(capsys.readouterr())
