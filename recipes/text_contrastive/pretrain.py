"""Pretrain a model that makes one vector of a text, on raw text, and measure what it is worth with few labels.

accelerate launch recipes/text_contrastive/pretrain.py --config recipes/text_contrastive/tiny.yaml --output_dir OUT
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
from hf_unlab.modalities.text.settings import SentenceModelSettings, TextFewLabelSettings, TextPairDataSettings
from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainer, TextContrastiveTrainingArguments
from hf_unlab.training.run_folder import find_checkpoint
from hf_unlab.training.stopping import behind_training


def main(argv: list[str] | None = None) -> None:
    data, model_settings, few_label, args = parse_arguments(
        TextPairDataSettings, SentenceModelSettings, TextFewLabelSettings, TextContrastiveTrainingArguments, argv=argv
    )
    with quiet_libraries(), exit_cleanly():
        with waiting("Preparing the data and the model"):
            checkpoint = find_checkpoint(args)
            sources, modality = data.sources(), get_modality("text")
            texts = data.as_texts(sources)
            check_labels(few_label, texts, modality, args)  # a mistake here should not wait for the end of training

            # A static table of words, unless another model is named; its tokenizer is trained on the stream.
            set_seed(args.seed)  # the weights of a model from scratch
            with_head = args.masked_lm_weight > 0
            model = sentence_model_for(model_settings, sources, checkpoint, args, data.columns, with_head)

            # Named measures of what is learnt (--online_measures) stand beside the loss at each evaluation.
            online = online_evaluation(args, few_label, texts, modality, model, None, data.columns[0])
            trainer = TextContrastiveTrainer(
                model, args, sources, data.eval_sources(), columns=data.columns, online_evaluation=online
            )
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
                    tables = prove(args.output_dir, modality, few_label, texts, on_progress)
                say(tables, args.output_dir)


if __name__ == "__main__":
    main()
