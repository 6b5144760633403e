"""Measures while training: logged, chosen by, stopped by, and without a trace in the run itself."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.measuring import Labelled, is_better_when_greater, measure
from hf_unlab.modalities.text.encoder import TextEncoder
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer
from hf_unlab.testing import tiny_bert
from hf_unlab.training.online_evaluation import OnlineEvaluation
from tests.training.helpers import TEXTS, TOKENIZER, At, assert_same_weights, losses, make_trainer

WORDS = sorted(
    word for word in {word for text in TEXTS for word in text.split()} if len(TOKENIZER(word)["input_ids"]) <= 3
)
EVALUATED = {"eval_strategy": "steps", "eval_steps": 3, "save_steps": 3, "save_total_limit": 10}


def encoder_of(model) -> TextEncoder:
    return TextEncoder.of_model(model, TOKENIZER)


def labelled(num: int = 200) -> LabelledData:
    """Texts of the one half of the words, and of the other."""
    rng, labels = np.random.default_rng(0), np.arange(num) % 2
    halves = WORDS[: len(WORDS) // 2], WORDS[len(WORDS) // 2 :]
    return LabelledData([" ".join(rng.choice(halves[label], 6)) for label in labels], labels, ("no", "yes"))


def online(measures=("probe_accuracy", "effective_rank"), **settings) -> OnlineEvaluation:
    return OnlineEvaluation.of_labelled(encoder_of, measures, labelled(), **settings)


def make(folder, evaluation, kind=MaskedLMTrainer, **settings):
    return make_trainer(folder, kind=partial(kind, online_evaluation=evaluation), **{**EVALUATED, **settings})


def test_they_are_logged_and_are_those_of_the_model_as_it_is(tmp_path) -> None:
    trainer = make(tmp_path, online(max_examples=100))
    metrics = trainer.evaluate()
    data, order = labelled(), np.random.default_rng(0).permutation(200)[:100]
    features = features_of(encoder_of(trainer.model), [data.inputs[i] for i in order])
    halves = [Labelled(features[part], data.labels[order[part]]) for part in (slice(0, 50), slice(50, 100))]
    expected = measure(("probe_accuracy", "effective_rank"), features, *halves)
    assert {name: metrics[f"eval_{name}"] for name in expected} == pytest.approx(expected)
    assert metrics["eval_online_seconds"] > 0
    trainer.train()
    lines = [line for line in trainer.state.log_history if "eval_loss" in line]
    assert len(lines) == 4 and all("eval_probe_accuracy" in line for line in lines)
    given = trainer.evaluate({"other": trainer.held_out()})
    assert not any("probe" in name for name in given)  # they are of the held-out evaluation alone


def test_a_run_is_the_same_with_and_without_them(tmp_path) -> None:
    with_them = make(tmp_path / "with", online())
    with_them.train()
    without = make(tmp_path / "without", None)
    without.train()
    assert losses(with_them) == losses(without)
    assert_same_weights(with_them, without)


def test_without_labels_the_held_out_examples_are_measured(tmp_path) -> None:
    def texts(examples):
        return [example["text"] for example in examples]

    evaluation = OnlineEvaluation(encoder_of, ("effective_rank", "hubness"), decode_held_out=texts)
    trainer = make(tmp_path, evaluation)
    metrics = trainer.evaluate()
    features = features_of(encoder_of(trainer.model), [row["text"] for row in trainer.held_out()])
    assert metrics["eval_effective_rank"] == pytest.approx(measure(["effective_rank"], features)["effective_rank"])


class Flattening(MaskedLMTrainer):
    """Learns how often tokens are, and nothing else; from step 4 on its encoder gives the same for every text."""

    def after_optimizer_step(self, step: int) -> None:
        super().after_optimizer_step(step)
        if step == 4:
            with torch.no_grad():
                for parameter in self.model.base_model.parameters():
                    parameter.zero_()


def test_where_loss_and_probe_disagree_the_better_probe_is_chosen(tmp_path) -> None:
    """The loss goes on falling when the encoder has been emptied: the last step has the best loss, the worst probe."""
    chosen = {}
    for metric in ("loss", "probe_accuracy"):
        torch.manual_seed(0)
        model = tiny_bert(tie_word_embeddings=False)
        bias = model.cls.predictions.decoder.bias
        optimizer = torch.optim.SGD([bias], lr=3.0)
        trainer = make(
            tmp_path / metric,
            online(),
            Flattening,
            model=model,
            optimizers=(optimizer, None),
            load_best_model_at_end=True,
            metric_for_best_model=metric,
            on_collapse="continue",
        )
        trainer.train()
        lines = {line["step"]: line for line in trainer.state.log_history if "eval_loss" in line}
        by_loss, by_probe = (
            [lines[step]["eval_loss"] for step in lines],
            [lines[s]["eval_probe_accuracy"] for s in lines],
        )
        assert by_loss == sorted(by_loss, reverse=True) and by_probe[0] > 0.9 and max(by_probe[1:]) < 0.7
        chosen[metric] = Path(trainer.state.best_model_checkpoint).name
        probed = online()(trainer.model, list)["probe_accuracy"]
        assert (probed > 0.9) == (metric == "probe_accuracy")
    assert chosen == {"loss": "checkpoint-12", "probe_accuracy": "checkpoint-3"}


def stopped_at(metric: str, patience: int = 3) -> tuple[dict, list[dict]]:
    """The line that transformers' early stopping picks of a recorded run, and all lines."""
    lines = json.loads((Path(__file__).parent / "contrastive_run.json").read_text())
    args = SimpleNamespace(
        metric_for_best_model=metric,
        greater_is_better=is_better_when_greater(metric),
        load_best_model_at_end=True,
        eval_strategy="steps",
    )
    state, control, callback = TrainerState(), TrainerControl(), EarlyStoppingCallback(patience)
    for line in lines:
        better = np.greater if args.greater_is_better else np.less
        callback.on_evaluate(args, state, control, metrics=line)
        if state.best_metric is None or better(line[metric], state.best_metric):
            state.best_metric, state.best_global_step = line[metric], line["step"]
        if control.should_training_stop:
            break
    (picked,) = (line for line in lines if line["step"] == state.best_global_step)
    return picked, lines


@pytest.mark.parametrize("number", [10, 50])
def test_early_stopping_by_a_probe_is_within_a_point_of_the_best_step(number) -> None:
    """A contrastive training that overfits, as `record_contrastive.py` recorded it; its lowest loss comes too late."""
    measure_of_test = f"test_accuracy_{number}"
    picked, lines = stopped_at("eval_probe_accuracy")
    best = max(line[measure_of_test] for line in lines)
    assert best - picked[measure_of_test] <= 0.01 and picked["step"] == 60
    lowest_loss = min(lines, key=lambda line: line["eval_loss"])
    assert best - lowest_loss[measure_of_test] > 0.01 and lowest_loss["step"] > 500


def test_a_run_stops_when_nothing_gets_better(tmp_path) -> None:
    trainer = make(
        tmp_path,
        online(("probe_accuracy",)),
        Flattening,
        max_steps=60,
        load_best_model_at_end=True,
        metric_for_best_model="probe_accuracy",
        early_stopping_patience=2,
        on_collapse="continue",
    )
    trainer.train()
    assert trainer.state.global_step == 9 and trainer.state.best_global_step == 3


def test_what_is_better_is_known() -> None:
    args = {"eval_strategy": "steps", "eval_steps": 3, "save_steps": 3, "load_best_model_at_end": True}
    trainer = make_trainer("out", metric_for_best_model="eval_uniformity", **args)
    assert trainer.args.greater_is_better is False
    assert is_better_when_greater("probe_accuracy") and not is_better_when_greater("eval_loss")


def test_a_model_that_diverged_is_measured_as_nan(tmp_path) -> None:
    trainer = make(tmp_path, online())
    with torch.no_grad():
        next(iter(trainer.model.base_model.parameters())).fill_(float("nan"))
    found = online()(trainer.model, list)
    assert np.isnan(found["probe_accuracy"]) and np.isnan(found["effective_rank"])


def test_mistakes_are_told_at_once(tmp_path) -> None:
    with pytest.raises(ValueError, match="There is no measure 'accuracy'; there are: effective_rank"):
        online(("accuracy",))
    with pytest.raises(ValueError, match="probe_accuracy needs labels"):
        OnlineEvaluation(encoder_of, ("probe_accuracy",), ["a"] * 9)
    with pytest.raises(ValueError, match="give at least 4"):
        OnlineEvaluation(encoder_of, ("hubness",), ["a"])
    with pytest.raises(ValueError, match="Give either inputs or decode_held_out"):
        OnlineEvaluation(encoder_of, ("hubness",))
    with pytest.raises(ValueError, match="2 labels for 9 examples"):
        OnlineEvaluation(encoder_of, ("probe_accuracy",), ["a"] * 9, np.array([0, 1]))
    for settings, message in (
        ({"online_measures": ["hubness"]}, "online_measures needs evaluations"),
        ({"early_stopping_patience": 2, "eval_strategy": "steps"}, "set load_best_model_at_end"),
        ({"early_stopping_patience": 0}, "must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            make_trainer(tmp_path, **settings)


def test_it_happens_behind_a_step_too(tmp_path) -> None:
    trainer = make(tmp_path, online(), callbacks=[At(3, lambda control: setattr(control, "should_evaluate", True))])
    trainer.train()
    assert {line["step"] for line in trainer.state.log_history if "eval_probe_accuracy" in line} == {3, 6, 9, 12}
