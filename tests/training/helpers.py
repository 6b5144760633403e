"""A tiny masked-LM trainer that every test of the trainers can start, stop and start again."""

import torch
from transformers import TrainerCallback

from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.testing import tiny_bert, tiny_stream, tiny_texts, tiny_tokenizer
from hf_unlab.training.checkpoints import write_json, write_manifest
from hf_unlab.training.run_folder import RUN_NAME

TEXTS = tiny_texts(400)
TOKENIZER = tiny_tokenizer()
# Of a run of three checkpoints that takes a second.
TINY_RUN = {
    "max_steps": 12,
    "per_device_train_batch_size": 4,
    "num_readers": 4,
    "shuffle_block_size": 20,
    "validation_fraction": 0.1,
    "learning_rate": 1e-2,
    "logging_steps": 4,
    "save_steps": 3,
    "precision": "fp32",
    "disable_tqdm": True,
}


def make_trainer(
    folder,
    stream=None,
    model=None,
    callbacks=None,
    eval_dataset=None,
    kind=MaskedLMTrainer,
    optimizers=(None, None),
    **settings,
):
    """A trainer of a tiny BERT; `settings` replace its arguments."""
    defaults = {**TINY_RUN, "per_device_eval_batch_size": 3, "sequence_length": 16}
    args = MaskedLMTrainingArguments(str(folder), **{**defaults, **settings})
    torch.manual_seed(0)
    model = model or tiny_bert(hidden_dropout_prob=0.1)
    stream = stream if stream is not None else tiny_stream(TEXTS, num_shards=3)
    return kind(
        model,
        args,
        stream,
        eval_dataset=eval_dataset,
        processing_class=TOKENIZER,
        callbacks=callbacks,
        optimizers=optimizers,
    )


class At(TrainerCallback):
    """Does something behind a step."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.do(control)


def stop(control):
    control.should_training_stop = True


def losses(trainer):
    return [(log["step"], log["loss"], log["accuracy"]) for log in trainer.state.log_history if "loss" in log]


def assert_same_weights(one, other):
    for name, parameter in one.model.named_parameters():
        assert torch.equal(parameter, other.model.get_parameter(name)), name


def write_run(folder):
    """The folder of a run with whole checkpoints of steps 2, 10 and 9, written in this order, of no content."""
    write_json(folder / RUN_NAME, {"is_stopped": False})
    for step in (2, 10, 9):
        checkpoint = folder / f"checkpoint-{step}"
        (checkpoint / "sub").mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(bytes(100))
        (checkpoint / "sub" / "rng.pth").write_bytes(b"abc")
        write_manifest(checkpoint)
    return folder
