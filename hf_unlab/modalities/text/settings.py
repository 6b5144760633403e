"""What the scripts of text recipes are told."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from hf_unlab.modalities.settings import DataSettings, FewLabelSettings


@dataclass
class TextDataSettings(DataSettings):
    """Raw text."""

    column_settings: ClassVar[dict[str, str]] = {"text": "text_column"}
    text_column: str = field(default="text", metadata={"help": "The column with the text."})


@dataclass
class TextModelSettings:
    """The model and its tokenizer."""

    model: str = field(
        default="tiny",
        metadata={"help": "tiny, mini, small or base from scratch, or a checkpoint's Hub id or path to go on from."},
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "For a model from scratch: hidden_size=256,num_hidden_layers=4."}
    )
    tokenizer: str | None = field(
        default=None,
        metadata={"help": "A Hub id or path. By default the checkpoint's; from scratch, one trained on the data."},
    )
    vocab_size: int = field(default=8192, metadata={"help": "Tokens of a tokenizer that is trained."})
    tokenizer_num_examples: int = field(
        default=20_000, metadata={"help": "Examples that a tokenizer is trained on, from the beginning of the data."}
    )


@dataclass
class TextFewLabelSettings(FewLabelSettings):
    """Classification of texts with few labels a class."""

    column_settings: ClassVar[dict[str, str]] = {"text": "labelled_text_column"}
    labelled_text_column: str = field(default="text", metadata={"help": "The column with the labelled text."})
    few_label_max_length: int = field(
        default=512,
        metadata={"help": "Tokens of a window; a longer labelled text is read in several, which are averaged."},
    )
    few_label_max_characters: int = field(
        default=20_000, metadata={"help": "What every row of the table reads of each labelled text, from its start."}
    )

    def unlimited(self) -> Self:
        """As in `FewLabelSettings`."""
        return replace(self, few_label_max_characters=10_000_000)

    def limit(self) -> str:
        """As in `FewLabelSettings`."""
        return f"All rows read up to {self.few_label_max_characters:,} characters of a text."
