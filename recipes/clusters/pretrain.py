"""Pretrain an encoder on clusters of its own features, and measure what it is worth with few labels.

accelerate launch recipes/clusters/pretrain.py --config recipes/clusters/tiny.yaml --output_dir OUT
"""

from transformers import set_seed

from hf_unlab.app.arguments import parse_arguments, setting_of
from hf_unlab.app.console import announce, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress, waiting
from hf_unlab.few_labels.label_checks import check_labels
from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.models import bare_encoder_for
from hf_unlab.objectives.clusters.settings import ClusterModelSettings, known_modality
from hf_unlab.objectives.clusters.trainer import ClusterPretrainingTrainer
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    # Of recordings or of images: that decides what the rest of the settings are.
    modality = get_modality(known_modality(setting_of("modality", "audio", argv)))
    data, model_settings, few_label, args = parse_arguments(
        modality.data_settings, ClusterModelSettings, modality.few_label_settings, ClusterTrainingArguments, argv=argv
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources = data.sources()
            check_labels(few_label, sources, modality, args)  # a mistake here should not wait for the end of training

            # New, or the encoder of a checkpoint that another objective has pretrained.
            set_seed(args.seed)
            model, processor = bare_encoder_for(model_settings, checkpoint)

            # From examples to clusters of them, and from views of them back to those; exactly resumable.
            online = online_evaluation(args, few_label, sources, modality, model, processor)
            trainer = ClusterPretrainingTrainer(
                model,
                args,
                sources,
                data.eval_sources(),
                modality=modality.name,
                processing_class=processor,
                online_evaluation=online,
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
