"""An objective in a single file, to prove that one needs no other: a masked language model with a mean teacher
(Tarvainen and Valpola 2017, https://huggingface.co/papers/1703.01780), and labelled texts in a second lane.

docs/new_objective.md walks through it. `python tests/objectives/dummy.py --config FILE.yaml` is its recipe.
"""

import copy
import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase, set_seed

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import announce, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress
from hf_unlab.evaluation.measures.representation import feature_spread
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.masking import IGNORED, mask_tokens, ordinary_ids
from hf_unlab.modalities.text.models import load_masked_lm, tokenizer_for
from hf_unlab.modalities.text.reading import pack_texts, text_problem
from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings, TextModelSettings
from hf_unlab.objectives import Row
from hf_unlab.streams.bad_examples import Check
from hf_unlab.streams.blocks import Prepare
from hf_unlab.streams.lanes import Lane
from hf_unlab.streams.loader import Batch, Collator, Place
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.collapse import HealthyBand
from hf_unlab.training.objective import Objective, ObjectiveOutput, Term
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training
from hf_unlab.training.trainer import PretrainingTrainer

# ---- What it is told ----


@dataclass
class DummyTrainingArguments(PretrainingArguments):
    """Settings of the mean teacher; those that decide what is read say that a resume must keep them."""

    sequence_length: int = field(default=16, metadata={"help": "Tokens of a sequence.", "fixed": True})
    num_classes: int = field(default=2, metadata={"help": "Classes of the labelled lane."})
    teacher_decay: float = field(default=0.9, metadata={"help": "What the teacher keeps of itself at each step."})
    consistency_weight: float = field(default=0.1, metadata={"help": "Weight of the distance to the teacher."})
    least_feature_std: float = field(default=1e-4, metadata={"help": "Below, the features have collapsed."})


# ---- What it reads: B rows, T tokens ----


@dataclass(frozen=True)
class MaskingCollator:
    """Packed sequences, masked: more of them as training goes on, which the place in the run tells."""

    tokenizer: PreTrainedTokenizerBase
    seed: int

    @functools.cached_property
    def random_ids(self) -> np.ndarray:
        return ordinary_ids(self.tokenizer)

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> Batch:
        input_ids_BT, labels_BT = mask_tokens(
            np.stack([example["input_ids"] for example in examples]),
            probability=0.15 + 0.15 * min(place.step / 10, 1.0),
            mask_token_id=self.tokenizer.mask_token_id,
            special_ids=np.array(self.tokenizer.all_special_ids),
            random_ids=self.random_ids,
            rng=np.random.default_rng((self.seed, place.k)),
        )
        counts = {"num_items": (labels_BT != IGNORED).sum(), "num_texts": torch.tensor(len(examples))}
        return {"input_ids": input_ids_BT, "labels": labels_BT, **counts}


@dataclass(frozen=True)
class LabelledCollator:
    """Labelled texts, cut and padded to the same length as the packed ones."""

    tokenizer: PreTrainedTokenizerBase
    length: int

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> Batch:
        texts, labels = [one["text"] for one in examples], [int(one["label"]) for one in examples]
        encoded = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        ids = encoded["input_ids"]
        return {"input_ids": ids, "labels": torch.tensor(labels), "num_labels": torch.tensor(len(labels))}


# ---- What it learns ----


class DummyTrainer(PretrainingTrainer):
    raw_columns = ("text",)
    lane_columns: ClassVar = {"labelled": ("text", "label")}
    units = ("items", "texts", "labels")
    input_unit = "tokens"
    leading_metrics = ("accuracy", "labelled_accuracy")
    metric_lines: ClassVar = {"features": {"std": "feature_std", "effective rank": "effective_rank"}}
    args: DummyTrainingArguments

    def make_check(self) -> Check:
        return text_problem

    def make_prepare(self) -> Prepare:
        args = self.args
        settings = {"length": args.sequence_length, "seed": args.stream_seed}
        return functools.partial(pack_texts, tokenizer=self.processing_class, **settings)

    def make_collator(self, *, evaluation: bool) -> Collator:
        return MaskingCollator(self.processing_class, self.args.seed)

    def make_lane(self, name: str) -> Lane:
        collate = LabelledCollator(self.processing_class, self.args.sequence_length)
        return Lane(collate, batch_size=self.args.per_device_train_batch_size, check=text_problem)

    def auxiliary_modules(self) -> dict[str, nn.Module]:
        width = self.model.config.hidden_size
        teacher = copy.deepcopy(self.model.base_model).requires_grad_(False).eval()
        return {"teacher": teacher, "head": nn.Linear(width, self.args.num_classes)}

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        ids_BT, labelled = batch["input_ids"], batch.get("labelled")  # none in evaluation
        num_unlabelled = len(ids_BT)
        if labelled:  # one forward for both lanes, as DDP wants it
            ids_BT = torch.cat([ids_BT, labelled["input_ids"]])
        output = model(input_ids=ids_BT, output_hidden_states=True)
        features_BD = output.hidden_states[-1].mean(dim=1)
        hidden_BT = batch["labels"] != IGNORED
        logits_NV, answers_N = output.logits[:num_unlabelled][hidden_BT], batch["labels"][hidden_BT]
        losses_N = cross_entropy(logits_NV, answers_N, reduction="none")
        self.auxiliary["teacher"].eval()
        with torch.no_grad():
            target_BD = self.auxiliary["teacher"](ids_BT[:num_unlabelled]).last_hidden_state.mean(dim=1)
        own_BD = features_BD[:num_unlabelled]
        distance = (own_BD - target_BD).square().mean(dim=1).sum()
        terms = {
            "masked_lm": Term(losses_N.sum(), batch["num_items"]),
            "consistency": Term(distance, batch["num_texts"], "texts", self.args.consistency_weight),
        }
        deviation = own_BD.detach().std(dim=0).mean() if num_unlabelled > 1 else own_BD.new_zeros(())
        metrics = {
            "accuracy": ((logits_NV.argmax(-1) == answers_N).sum(), batch["num_items"]),
            "feature_std": (deviation, 1),
        }
        if labelled:
            logits_BC, num_labels = self.auxiliary["head"](features_BD[num_unlabelled:]), labelled["num_labels"]
            losses_B = cross_entropy(logits_BC, labelled["labels"], reduction="none")
            terms["labelled"] = Term(losses_B.sum(), num_labels, "labels")
            metrics["labelled_accuracy"] = ((logits_BC.argmax(-1) == labelled["labels"]).sum(), num_labels)
        kept = None if model.training else own_BD.cpu()
        item_rows = hidden_BT.nonzero()[:, 0]
        return ObjectiveOutput(terms, ids_BT.numel(), metrics, losses_N, item_rows, kept)

    def after_optimizer_step(self, step: int) -> None:
        """The teacher follows: sooner in the first steps."""
        decay = min(self.args.teacher_decay, 1 - 1 / (step + 1))
        student = dict(self.accelerator.unwrap_model(self.model).base_model.named_parameters())
        with torch.no_grad():
            for name, parameter in self.auxiliary["teacher"].named_parameters():
                parameter.lerp_(student[name], 1 - decay)

    def published_model(self) -> nn.Module:
        """The encoder, without the head of masked language modelling."""
        return super().published_model().base_model

    def finish_evaluation(self, kept: list[torch.Tensor]) -> dict[str, float]:
        return {"effective_rank": feature_spread(torch.cat(kept))["effective_rank"]}

    def collapse_signals(self) -> HealthyBand:
        return HealthyBand({"feature_std": (self.args.least_feature_std, None)}, advice="raise teacher_decay")

    def on_logged(self, logs: dict[str, float]) -> None:
        """Where a callback would do; here it is noted for a test."""
        self.last_logged = logs


# ---- Its line of the table, and its recipe ----

OBJECTIVE = Objective(
    modality="text",
    trainer=DummyTrainer,
    arguments=DummyTrainingArguments,
    settings=(TextDataSettings, TextModelSettings, TextFewLabelSettings),
)
LINE = Row("tests.objectives.dummy", ("DummyTrainer", "DummyTrainingArguments"))


def main(argv: list[str] | None = None) -> None:
    data, model_settings, few_label, args = parse_arguments(*OBJECTIVE.settings, OBJECTIVE.arguments, argv=argv)
    with quiet_libraries(), exit_cleanly():
        checkpoint = find_checkpoint(args)
        sources = data.sources()
        labelled, _ = few_label.labelled_sources(sources)
        tokenizer = tokenizer_for(model_settings, sources, checkpoint, args)
        set_seed(args.seed)
        model = load_masked_lm(
            model_settings.model, tokenizer, config_overrides=model_settings.config_overrides, from_scratch=True
        )
        trainer = DummyTrainer(
            model, args, sources, data.eval_sources(), processing_class=tokenizer, lanes={"labelled": labelled}
        )
        announce(trainer, sources)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with behind_training(args):
            trainer.evaluate()
            trainer.save_model()
            is_main = trainer.is_world_process_zero()
            trainer.accelerator.end_training()
            if is_main:
                with proof_progress() as on_progress:
                    modality = get_modality(OBJECTIVE.modality)
                    tables = prove(args.output_dir, modality, few_label, sources, on_progress)
                say(tables, args.output_dir)


if __name__ == "__main__":
    main()
