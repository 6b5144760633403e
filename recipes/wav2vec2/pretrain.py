"""Pretrain a wav2vec 2.0 on recordings, and measure what it is worth with few labels.

accelerate launch recipes/wav2vec2/pretrain.py --config recipes/wav2vec2/tiny.yaml --output_dir OUT
"""

from transformers import set_seed

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import announce, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress, waiting
from hf_unlab.few_labels.label_checks import check_labels
from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.models import audio_model_for
from hf_unlab.modalities.audio.settings import AudioDataSettings, AudioFewLabelSettings, AudioModelSettings
from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.trainer import Wav2Vec2PretrainingTrainer
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    data, model_settings, few_label, args = parse_arguments(
        AudioDataSettings, AudioModelSettings, AudioFewLabelSettings, Wav2Vec2TrainingArguments, argv=argv
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources, eval_sources, modality = data.sources(), data.eval_sources(), get_modality("audio")
            check_labels(few_label, sources, modality, args)  # a mistake here should not wait for the end of training

            # From a preset or a checkpoint; the feature extractor says at which rate the model hears.
            set_seed(args.seed)
            model, feature_extractor = audio_model_for(model_settings, checkpoint)

            # From clips to hidden spans: read, sorted by length, decoded, masked, and exactly resumable.
            online = online_evaluation(args, few_label, sources, modality, model, feature_extractor)
            trainer = Wav2Vec2PretrainingTrainer(
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
