"""The recipe of distillation runs from its YAML, for either target, and shows student and teacher side by side."""

import json
import runpy

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from hf_unlab.app.arguments import read_arguments
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.settings import SentenceModelSettings, TextDataSettings, TextFewLabelSettings
from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.objectives.distillation.settings import TeacherSettings
from hf_unlab.testing import tiny_texts
from tests.objectives.distillation.helpers import CLASSES, TOKENIZER, bert_classifier, transformer
from tests.recipes.helpers import refusal_of

SCRIPT, TINY = (recipe_path("distillation", name) for name in ("pretrain.py", "tiny.yaml"))
FEW_STEPS = ["--max_steps", "3", "--logging_steps", "1", "--eval_strategy", "no", "--validation_fraction", "0.1"]
FEW_STEPS += ["--per_device_train_batch_size", "16"]
SMALL_TABLE = ["--num_labels_per_class", "2", "4", "--few_label_seeds", "0", "1", "--finetune_steps", "2"]
SMALL = "hidden_size=16,num_hidden_layers=1,num_attention_heads=2,intermediate_size=24"


def run_main(*argv):
    runpy.run_path(str(SCRIPT))["main"](list(map(str, argv)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Raw texts, labelled texts that a single word gives away, and teachers."""
    folder = tmp_path_factory.mktemp("data")

    def write(name, rows):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("raw.jsonl", [{"text": text} for text in tiny_texts(600, num_words=30)])
    for name, seed in (("train.jsonl", 5), ("test.jsonl", 6)):
        some = tiny_texts(40, seed=seed)
        write(name, [{"text": f"{'good' if i % 2 else 'bad'} {text}", "label": i % 2} for i, text in enumerate(some)])
    transformer().save_pretrained(folder / "teacher")
    for part in (bert_classifier(), TOKENIZER):
        part.save_pretrained(folder / "classifier")
    return folder


def raw(files, teacher="teacher"):
    given = ["--config", TINY, "--dataset", "json", "--data_files", files / "raw.jsonl", *FEW_STEPS]
    return [*given, "--teacher", files / teacher]


def labels(files):
    given = ["--labelled_dataset", "json", "--labelled_train_files", files / "train.jsonl"]
    return [*given, "--labelled_test_files", files / "test.jsonl", *SMALL_TABLE]


def test_a_table_learns_features_and_stands_beside_its_teacher(files, tmp_path, capsys):
    online = ["--eval_strategy", "steps", "--eval_steps", "3", "--online_measures", "effective_rank"]
    run_main(*raw(files), *labels(files), *online, "--output_dir", tmp_path)
    assert load_encoder(tmp_path).has_unit_norm
    shown = capsys.readouterr().out
    assert "agreement" in shown and "examples/s" in shown and "parameters" in shown
    beside = json.loads((tmp_path / "beside_teacher.json").read_text())
    assert [row["name"] for row in beside["few_label"]["rows"]] == ["TF-IDF", "teacher", "student"]
    table = json.loads((tmp_path / "few_label.json").read_text())
    assert {"TF-IDF", "random weights", "pretrained"} <= {row["name"] for row in table["rows"]}
    evaluation = json.loads((tmp_path / "eval_results.json").read_text())
    assert {"eval_loss", "eval_agreement", "eval_effective_rank"} <= evaluation.keys()


def test_a_classifier_learns_soft_targets_and_the_run_resumes(files, tmp_path):
    given = [*raw(files, "classifier"), "--target", "soft_targets", "--model", "tiny", "--config_overrides", SMALL]
    given += ["--vocab_size", "300", "--output_dir", tmp_path, "--save_steps", "2"]
    run_main(*given)
    run_main(*given, "--max_steps", "4", "--resume_from_checkpoint", "auto")
    state = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    assert [line["step"] for line in state["log_history"] if "loss" in line] == [1, 2, 3, 4]
    student = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert tuple(student.config.id2label.values()) == CLASSES and torch.isfinite(student.classifier.weight).all()


def test_every_key_of_the_recipe_is_known():
    classes = TextDataSettings, SentenceModelSettings, TeacherSettings, TextFewLabelSettings
    data, model, teaching, _, args = read_arguments(
        *classes, DistillationTrainingArguments, argv=["--config", str(TINY)]
    )
    assert data.sources()[0].licence and model.model == "static" and teaching.teacher is None
    assert args.feature_loss == "cosine"


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--teacher", ""], "give --teacher"),
        (["--teacher", "no-such-teacher"], "Cannot load the teacher 'no-such-teacher'"),
        (["--target", "logits"], "logits"),
        (["--target", "soft_targets"], "is no fine-tuned classifier"),
        (["--temprature", "3"], "did you mean --temperature"),
        (["--feature_loss", "l1"], "l1"),
    ],
)
def test_a_mistake_ends_in_one_message_and_code_2(settings, message, files, tmp_path, capsys):
    assert message in refusal_of(capsys, run_main, *raw(files), "--output_dir", tmp_path, *settings)
