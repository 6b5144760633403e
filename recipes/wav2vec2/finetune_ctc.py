"""Fine-tune a pretrained speech encoder to transcribe (CTC), beside the same architecture from scratch.

python recipes/wav2vec2/finetune_ctc.py --model CHECKPOINT --max_train_minutes 2 --output_dir OUT
"""

from pathlib import Path

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import exit_cleanly, quiet_libraries
from hf_unlab.app.progress import console, proof_progress
from hf_unlab.objectives.wav2vec2.ctc import RESULTS_NAME, CTCTrainingArguments, finetune_ctc
from hf_unlab.objectives.wav2vec2.transcribed_audio import TranscribedAudioSettings, read_clips


def main(argv: list[str] | None = None) -> None:
    settings, args = parse_arguments(TranscribedAudioSettings, CTCTrainingArguments, argv=argv)
    with quiet_libraries(), exit_cleanly():
        # Decoded at the rate that the model hears; broken clips are left out with a warning.
        train, test = read_clips(settings, args.seed)
        with proof_progress() as on_progress:
            results = finetune_ctc(settings.model, train, test, settings, args, on_progress)
        if args.process_index == 0:
            console.print(
                f"\n{results.render()}\n\nSaved as {Path(args.output_dir) / RESULTS_NAME}\n\n"
                f"The model is in {args.output_dir}. Load it with plain transformers:\n\n"
                f"    from transformers import AutoModelForCTC\n"
                f"    from transformers import AutoProcessor\n"
                f'    model = AutoModelForCTC.from_pretrained("{args.output_dir}")\n'
                f'    processor = AutoProcessor.from_pretrained("{args.output_dir}")'
            )


if __name__ == "__main__":
    main()
