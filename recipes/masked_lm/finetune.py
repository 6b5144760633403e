"""Learn a classifier of texts from a few labels: `hf-unlab finetune`, with settings from a YAML file.

accelerate launch recipes/masked_lm/finetune.py --config recipes/masked_lm/few_label.yaml \
    --model CHECKPOINT
"""

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.finetuning import FinetuneSettings, finetune_on_one_process
from hf_unlab.modalities.text.settings import TextFewLabelSettings


def main(argv: list[str] | None = None) -> None:
    labelled, settings = parse_arguments(TextFewLabelSettings, FinetuneSettings, argv=argv)
    finetune_on_one_process(labelled, settings, "text")


if __name__ == "__main__":
    main()
