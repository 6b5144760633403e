"""What the scripts of the audio recipes are told beside the trainer's own arguments."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from hf_unlab.modalities.settings import DataSettings, FewLabelSettings


@dataclass
class AudioDataSettings(DataSettings):
    """Raw audio."""

    column_settings: ClassVar[dict[str, str]] = {"audio": "audio_column"}
    audio_column: str = field(default="audio", metadata={"help": "The column with the recording."})


@dataclass
class MelDataSettings(AudioDataSettings):
    """Raw audio whose frames may be normalised by group."""

    column_settings: ClassVar[dict[str, str]] = {"audio": "audio_column", "group": "group_column"}
    group_column: str | None = field(
        default=None, metadata={"help": "A column such as the speaker, for --normalise group."}
    )


@dataclass
class AudioModelSettings:
    """The model: see `load_audio_model`."""

    model: str = field(
        default="tiny",
        metadata={
            "is_checkpoint": True,
            "help": "tiny, base or large from scratch, or a checkpoint's Hub id or path to go on from.",
        },
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "For a model from scratch: hidden_size=256,num_hidden_layers=4."}
    )


@dataclass
class MelModelSettings(AudioModelSettings):
    """A model that reads log-mel frames: see `load_mel_model`."""

    model: str = field(
        default="mel-tiny",
        metadata={
            "is_checkpoint": True,
            "help": "mel-tiny or base from scratch, or a checkpoint's Hub id or path to go on from.",
        },
    )


@dataclass
class AudioFewLabelSettings(FewLabelSettings):
    """Classification of recordings with few labels a class."""

    column_settings: ClassVar[dict[str, str]] = {"audio": "labelled_audio_column", "group": "labelled_group_column"}
    labelled_audio_column: str = field(default="audio", metadata={"help": "The column with the labelled recording."})
    labelled_group_column: str | None = field(
        default=None,
        metadata={"help": "A column such as the speaker: each in turn is left out of the labels and tested on, too."},
    )
    few_label_max_seconds: float = field(default=10.0, metadata={"help": "What is heard of each labelled recording."})

    def unlimited(self) -> Self:
        """As in `FewLabelSettings`."""
        return replace(self, few_label_max_seconds=7200.0)

    def limit(self) -> str:
        """As in `FewLabelSettings`."""
        return f"All rows hear up to {self.few_label_max_seconds:g} seconds of a recording."
