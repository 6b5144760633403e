"""Pretrain a table of word vectors on raw text, and measure what it is worth with few labels.

accelerate launch recipes/word_vectors/pretrain.py --config recipes/word_vectors/tiny.yaml --output_dir OUT
"""

from transformers import set_seed

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import announce, exit_cleanly, quiet_libraries, say
from hf_unlab.app.progress import proof_progress, waiting
from hf_unlab.few_labels.label_checks import check_labels
from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.few_labels.prove import prove
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.load_sentence import sentence_model_for
from hf_unlab.modalities.text.settings import SentenceModelSettings, TextDataSettings, TextFewLabelSettings
from hf_unlab.objectives.word_vectors.trainer import WordVectorsTrainer, WordVectorsTrainingArguments
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    data, model_settings, few_label, args = parse_arguments(
        TextDataSettings, SentenceModelSettings, TextFewLabelSettings, WordVectorsTrainingArguments, argv=argv
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources, modality = data.sources(), get_modality("text")
            check_labels(few_label, sources, modality, args)  # a mistake here should not wait for the end of training

            # A table from scratch, whose tokenizer is trained on the stream, or a static checkpoint to go on from.
            set_seed(args.seed)  # the weights of a model from scratch
            model = sentence_model_for(model_settings, sources, checkpoint, args)

            # Named measures of what is learnt (--online_measures) stand beside the loss at each evaluation.
            online = online_evaluation(args, few_label, sources, modality, model, None)
            trainer = WordVectorsTrainer(model, args, sources, data.eval_sources(), online_evaluation=online)
        announce(trainer, sources)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with behind_training(args):
            metrics = trainer.evaluate()
            trainer.save_model()
            trainer.save_metrics("eval", metrics)

            # A loss is not a result: few-label accuracy is. One process measures it, which outlasts any barrier's
            # timeout, so the others leave.
            is_main = trainer.is_world_process_zero()
            trainer.accelerator.end_training()
            if is_main:
                with proof_progress() as on_progress:
                    tables = prove(args.output_dir, modality, few_label, sources, on_progress)
                say(tables, args.output_dir)


if __name__ == "__main__":
    main()
