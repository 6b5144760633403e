"""Fine-tune a pretrained speech encoder on a few labels: to transcribe, or to name a class, also from scratch.

python recipes/wav2vec2/finetune.py --model CHECKPOINT --task ctc --max_train_minutes 2 --output_dir OUT
python recipes/wav2vec2/finetune.py --model CHECKPOINT --task classification --output_dir OUT
"""

from functools import partial
from pathlib import Path

import numpy as np
from transformers import AutoConfig

from hf_unlab.arguments import parse_arguments
from hf_unlab.audio_settings import AudioFinetuneSettings
from hf_unlab.console import TABLE_NAME, console, exit_cleanly, proof_progress, quiet_libraries
from hf_unlab.evaluation.audio import log_mel_baseline
from hf_unlab.evaluation.few_label import few_label_table
from hf_unlab.finetuning.audio import finetune_audio_classifier, from_checkpoint, from_scratch
from hf_unlab.finetuning.ctc import (
    RESULTS_NAME,
    CTCTrainingArguments,
    OnProgress,
    finetune_ctc,
    load_feature_extractor,
    read_clips,
)


def main(argv: list[str] | None = None) -> None:
    settings, args = parse_arguments(AudioFinetuneSettings, CTCTrainingArguments, argv=argv)
    with quiet_libraries(), exit_cleanly():
        if settings.task == "ctc":
            train, test = read_clips(settings, args.seed)
            with proof_progress() as on_progress:
                results = finetune_ctc(settings.model, train, test, settings, args, on_progress)
            console.print(
                f"\n{results.render()}\n\nSaved as {Path(args.output_dir) / RESULTS_NAME}\n\n"
                f"The model is in {args.output_dir}. Load it with plain transformers:\n\n"
                "    from transformers import AutoModelForCTC, AutoProcessor\n"
                f'    processor = AutoProcessor.from_pretrained("{args.output_dir}")\n'
                f'    model = AutoModelForCTC.from_pretrained("{args.output_dir}")'
            )
        else:
            with proof_progress() as on_progress:
                table = classify(settings, args, on_progress)
            table.save(Path(args.output_dir) / TABLE_NAME)
            console.print(f"\n{table.render()}\n\nSaved as {Path(args.output_dir) / TABLE_NAME}")


def classify(settings: AudioFinetuneSettings, args: CTCTrainingArguments, on_progress: OnProgress):
    rate_hz = load_feature_extractor(settings.model).sampling_rate
    train, test = read_clips(settings, args.seed)
    pool, test_clips = ([row["audio"] for row in rows] for rows in (train, test))
    names = sorted({row["label"] for row in train})
    labels, test_labels = (np.array([names.index(row["label"]) for row in rows]) for rows in (train, test))
    finetuned = partial(
        finetune_audio_classifier,
        pool_waveforms=pool,
        pool_labels=labels,
        test_waveforms=test_clips,
        sampling_rate_hz=rate_hz,
        num_steps=settings.finetune_steps,
        batch_size=args.per_device_train_batch_size,
        learning_rate=args.learning_rate or 5e-4,
        device=args.device,
    )
    candidates = [log_mel_baseline("log-mel", pool, labels, test_clips, rate_hz)]
    if settings.compare_from_scratch:
        candidates.append(finetuned("from scratch", from_scratch(AutoConfig.from_pretrained(settings.model))))
    candidates.append(finetuned("pretrained", from_checkpoint(settings.model)))
    counts, seeds = settings.num_labels_per_class, settings.few_label_seeds
    return few_label_table(candidates, labels, test_labels, counts, seeds, on_progress, task=settings.dataset)


if __name__ == "__main__":
    main()
