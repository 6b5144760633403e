"""Teach a smaller model of texts what a larger one makes of raw text, and measure both with few labels.

accelerate launch recipes/distillation/pretrain.py --config recipes/distillation/tiny.yaml --teacher MODEL
"""

from transformers import set_seed

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import announce, console, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress, waiting
from hf_unlab.few_labels.beside_teacher import beside_teacher
from hf_unlab.few_labels.label_checks import check_labels
from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.settings import SentenceModelSettings, TextDataSettings, TextFewLabelSettings
from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.objectives.distillation.settings import TeacherSettings
from hf_unlab.objectives.distillation.student import make_student
from hf_unlab.objectives.distillation.teacher import load_teacher
from hf_unlab.objectives.distillation.trainer import DistillationTrainer
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    data, model_settings, teaching, few_label, args = parse_arguments(
        TextDataSettings,
        SentenceModelSettings,
        TeacherSettings,
        TextFewLabelSettings,
        DistillationTrainingArguments,
        argv=argv,
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources, modality = data.sources(), get_modality("text")
            check_labels(few_label, sources, modality, args)  # a mistake here should not wait for the end of training
            teacher = load_teacher(teaching.teacher, "text", teaching.target)

            set_seed(args.seed)  # the weights of a model from scratch
            student, tokenizer = make_student(model_settings, sources, checkpoint, args, teacher)
            online = online_evaluation(args, few_label, sources, modality, student, tokenizer)
            trainer = DistillationTrainer(
                student,
                args,
                sources,
                data.eval_sources(),
                processing_class=tokenizer,
                online_evaluation=online,
                teacher=teacher,
            )
        announce(trainer, sources)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with behind_training(args):
            metrics = trainer.evaluate()
            trainer.save_model()
            trainer.save_metrics("eval", metrics)

            # One process measures what it is worth, which outlasts any barrier's timeout, so the others leave.
            is_main = trainer.is_world_process_zero()
            trainer.accelerator.end_training()
            if is_main:
                with proof_progress() as on_progress:
                    given = modality, few_label, sources, on_progress
                    tables = prove(args.output_dir, *given)
                    beside = beside_teacher(args.output_dir, teaching.teacher, *given)
                say(tables, args.output_dir)
                if beside:
                    console.print(f"\n{beside.render()}\n\nSaved as {beside.save(args.output_dir)}")


if __name__ == "__main__":
    main()
