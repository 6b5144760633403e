"""Pretrain a dual encoder on images and their captions, and measure what it is worth with few labels and with none.

accelerate launch recipes/image_text/pretrain.py --config recipes/image_text/tiny.yaml --output_dir OUT
"""

from transformers import set_seed

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import announce, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress, waiting
from hf_unlab.evaluation.labelled import load_test
from hf_unlab.few_labels.label_checks import check_labels
from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.image_text.models import dual_encoder_for
from hf_unlab.modalities.image_text.settings import DualEncoderSettings, ImageTextDataSettings
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    data, model_settings, few_label, args = parse_arguments(
        ImageTextDataSettings,
        DualEncoderSettings,
        ImageFewLabelSettings,
        ImageTextContrastiveTrainingArguments,
        argv=argv,
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources, eval_sources = data.sources(), data.eval_sources()
            modality = get_modality("image_text")
            check_labels(few_label, sources, modality, args)  # a mistake here should not wait for the end of training
            test_images = load_test(few_label, sources, modality)

            # From a preset, a checkpoint, or two towers; `tiny` has a tokenizer trained on the captions.
            set_seed(args.seed)
            model = dual_encoder_for(model_settings, sources, checkpoint, args)

            # The labels are only looked at: zero-shot accuracy is measured beside recall at every evaluation.
            online = online_evaluation(args, few_label, sources, modality, model, None)
            trainer = ImageTextContrastiveTrainer(
                model, args, sources, eval_sources, zero_shot=test_images, online_evaluation=online
            )
        announce(trainer, sources)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with behind_training(args):
            metrics = trainer.evaluate()
            trainer.save_model()
            trainer.save_metrics("eval", metrics)

            # Recall is not a result yet: few-label accuracy on other images is. One process measures it.
            is_main = trainer.is_world_process_zero()
            trainer.accelerator.end_training()
            if is_main:
                templates = args.zero_shot_templates
                with proof_progress() as on_progress:
                    tables = prove(args.output_dir, modality, few_label, sources, on_progress, templates=templates)
                say(tables, args.output_dir)


if __name__ == "__main__":
    main()
