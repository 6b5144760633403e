"""What the script of the recipe is told of the model."""

from dataclasses import dataclass, field

MODALITIES = ("audio", "image")


@dataclass
class ClusterModelSettings:
    """The model: see `load_bare_encoder`."""

    modality: str = field(default="audio", metadata={"help": "What the data is of.", "choices": MODALITIES})
    model: str = field(
        default="tiny",
        metadata={"help": "tiny or mel-tiny from scratch, or a checkpoint's Hub id or path to go on from."},
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "For a model from scratch: hidden_size=256,num_hidden_layers=4."}
    )


def known_modality(name: str) -> str:
    """The name, if the recipe knows it; else the default's, with which reading the settings says what is wrong.

    Example:
        >>> known_modality("image"), known_modality("smell")
        ('image', 'audio')
    """
    return name if name in MODALITIES else MODALITIES[0]
