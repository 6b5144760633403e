"""Fine-tune a pretrained speech encoder on a few labels: to transcribe, or to name a class, also from scratch.

python recipes/wav2vec2/finetune.py --model CHECKPOINT --task ctc --max_train_minutes 2 --output_dir OUT
python recipes/wav2vec2/finetune.py --model CHECKPOINT --task classification --output_dir OUT
"""

from pathlib import Path

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import exit_cleanly, quiet_libraries
from hf_unlab.app.progress import console, proof_progress
from hf_unlab.few_labels.classifier import RESULTS_NAME as CLASSIFICATION_RESULTS
from hf_unlab.few_labels.classifier import keep_classifier
from hf_unlab.modalities import get_modality
from hf_unlab.objectives.wav2vec2.ctc import RESULTS_NAME as CTC_RESULTS
from hf_unlab.objectives.wav2vec2.ctc import CTCTrainingArguments, finetune_ctc
from hf_unlab.objectives.wav2vec2.finetuning_settings import AudioFinetuneSettings
from hf_unlab.objectives.wav2vec2.labelled_audio import as_labelled, read_clips


def main(argv: list[str] | None = None) -> None:
    settings, args = parse_arguments(AudioFinetuneSettings, CTCTrainingArguments, argv=argv)
    with quiet_libraries(), exit_cleanly():
        # Decoded at the rate that the model hears; broken clips are left out with a warning.
        train, test = read_clips(settings, args.seed)
        with proof_progress() as on_progress:
            if settings.task == "ctc":
                name, auto_class, beside = CTC_RESULTS, "AutoModelForCTC", "AutoProcessor"
                results = finetune_ctc(settings.model, train, test, settings, args, on_progress)
            else:
                name, auto_class = CLASSIFICATION_RESULTS, "AutoModelForAudioClassification"
                beside = "AutoFeatureExtractor"
                results = keep_classifier(
                    settings.model,
                    get_modality("audio"),
                    *as_labelled(train, test),
                    args,
                    on_progress,
                    num_labels_per_class=settings.num_labels_per_class,
                    compare_from_scratch=settings.compare_from_scratch,
                )
        if args.process_index == 0:
            console.print(
                f"\n{results.render()}\n\nSaved as {Path(args.output_dir) / name}\n\n"
                f"The model is in {args.output_dir}. Load it with plain transformers:\n\n"
                f"    from transformers import {auto_class}\n"
                f"    from transformers import {beside}\n"
                f'    model = {auto_class}.from_pretrained("{args.output_dir}")\n'
                f'    processor = {beside}.from_pretrained("{args.output_dir}")'
            )


if __name__ == "__main__":
    main()
