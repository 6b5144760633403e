"""Learn a classifier of recordings from a few labels: `hf-unlab finetune`, with settings from a YAML file.

accelerate launch recipes/clusters/finetune.py --config recipes/clusters/few_label.yaml \
    --model CHECKPOINT
"""

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.finetuning import FinetuneSettings, finetune_on_one_process
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings


def main(argv: list[str] | None = None) -> None:
    labelled, settings = parse_arguments(AudioFewLabelSettings, FinetuneSettings, argv=argv)
    finetune_on_one_process(labelled, settings, "audio")


if __name__ == "__main__":
    main()
