"""Learn a classifier of texts from a few labels: the vectors of a checkpoint and words, side by side.

python recipes/text_contrastive/finetune.py --model CHECKPOINT --output_dir OUT --labelled_dataset json \
    --labelled_train_files train.jsonl --labelled_test_files test.jsonl
"""

from pathlib import Path

import joblib
import numpy as np

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import exit_cleanly, quiet_libraries
from hf_unlab.app.progress import console
from hf_unlab.evaluation.labelled import load_train_and_test
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.models import first_texts
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.objectives.text_contrastive.classifier import ClassifierSettings, choose_classifier
from hf_unlab.streams.sources import Source


def main(argv: list[str] | None = None) -> None:
    labelled, settings = parse_arguments(TextFewLabelSettings, ClassifierSettings, argv=argv)
    with quiet_libraries(), exit_cleanly():
        modality = get_modality("text")
        # Files to learn from alone are not tested on; else what is in both parts is left out of the test.
        train, test, remarks = load_train_and_test(labelled, [], modality, None)
        for remark in remarks:
            console.print(remark)
        unlabelled: list[str] = []
        if settings.unlabelled_dataset:
            source = Source(settings.unlabelled_dataset, data_files=settings.unlabelled_files)
            unlabelled = list(first_texts([source], 100_000))
        names = np.array(train.label_names)
        classifier = choose_classifier(settings.model, train.inputs, names[train.labels], unlabelled)
        weights = classifier["features"].transformer_weights or {"words": 0.0}
        console.print(f"{len(train):,} labels of {len(names)} classes; words weigh {weights['words']:g}")
        if test is not None:
            accuracy = classifier.score(test.inputs, np.array(test.label_names)[test.labels])
            console.print(f"Right of {len(test):,} test examples: {100 * accuracy:.1f}%")
        path = Path(settings.output_dir) / "classifier.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(classifier, path)
        console.print(
            f"\nSaved as {path}. It looks for its checkpoint in {settings.model}:\n\n"
            f'    import joblib\n    joblib.load("{path}").predict(["a text"])'
        )


if __name__ == "__main__":
    main()
