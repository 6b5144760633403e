"""Pretrain a speech model on recordings by BEST-RQ, and measure what it is worth with few labels.

accelerate launch recipes/best_rq/pretrain.py --config recipes/best_rq/tiny.yaml --output_dir OUT
"""

from transformers import set_seed

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import announce, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress, waiting
from hf_unlab.few_labels.label_checks import check_labels
from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.mel_models import mel_model_for
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings, MelDataSettings, MelModelSettings
from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments
from hf_unlab.objectives.best_rq.trainer import BestRQPretrainingTrainer
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    data, model_settings, few_label, args = parse_arguments(
        MelDataSettings, MelModelSettings, AudioFewLabelSettings, BestRQTrainingArguments, argv=argv
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources, eval_sources, modality = data.sources(), data.eval_sources(), get_modality("audio")
            args.check_group_column(data.group_column)
            check_labels(few_label, sources, modality, args)  # a mistake here should not wait for the end of training

            # From a preset or a checkpoint; the feature extractor makes the log-mel frames that the model reads.
            set_seed(args.seed)
            model, feature_extractor = mel_model_for(model_settings, checkpoint)

            # From clips to log-mel tokens: read, sorted by length, decoded, masked, and exactly resumable.
            online = online_evaluation(args, few_label, sources, modality, model, feature_extractor)
            trainer = BestRQPretrainingTrainer(
                model, args, sources, eval_sources, processing_class=feature_extractor, online_evaluation=online
            )
        announce(trainer, sources)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with behind_training(args):
            metrics = trainer.evaluate()
            trainer.save_model()
            trainer.save_metrics("eval", metrics)

            # The loss is not a result yet: accuracy with few labels is. One process measures it.
            is_main = trainer.is_world_process_zero()
            trainer.accelerator.end_training()
            if is_main:
                with proof_progress() as on_progress:
                    tables = prove(args.output_dir, modality, few_label, sources, on_progress)
                say(tables, args.output_dir)


if __name__ == "__main__":
    main()
