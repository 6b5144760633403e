"""Learn a classifier of images from a few labels: `hf-unlab finetune`, with settings from a YAML file.

accelerate launch recipes/image_text/finetune.py --config recipes/image_text/few_label.yaml \
    --model CHECKPOINT
"""

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.finetuning import FinetuneSettings, finetune_on_one_process
from hf_unlab.modalities.image.settings import ImageFewLabelSettings


def main(argv: list[str] | None = None) -> None:
    labelled, settings = parse_arguments(ImageFewLabelSettings, FinetuneSettings, argv=argv)
    finetune_on_one_process(labelled, settings, "image_text")


if __name__ == "__main__":
    main()
