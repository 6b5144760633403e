"""What the scripts of text recipes are told."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from hf_unlab.modalities.settings import DataSettings, FewLabelSettings
from hf_unlab.streams.sources import Source


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
        metadata={
            "is_checkpoint": True,
            "help": "tiny, mini, small or base from scratch, or a checkpoint's Hub id or path to go on from.",
        },
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "For a model from scratch: hidden_size=256,num_hidden_layers=4."}
    )
    tokenizer: str | None = field(
        default=None,
        metadata={
            "is_checkpoint": True,
            "help": "A Hub id or path. By default the checkpoint's; from scratch, one trained on the data.",
        },
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


@dataclass
class TextPairDataSettings(TextDataSettings):
    """Raw text, or pairs of texts that belong together."""

    anchor_column: str | None = field(
        default=None,
        metadata={"help": "For given pairs: the column of the first text: a question, a title."},
    )
    positive_column: str | None = field(
        default=None, metadata={"help": "For given pairs: the column of the text that belongs to it."}
    )
    negative_column: str | None = field(
        default=None, metadata={"help": "For given pairs: a text that does not, though it is like it (hard negative)."}
    )

    def __post_init__(self) -> None:
        if (self.anchor_column is None) != (self.positive_column is None):
            raise ValueError("Pairs need both anchor_column and positive_column.")
        if self.negative_column and not self.anchor_column:
            raise ValueError("negative_column goes with anchor_column and positive_column.")

    @property
    def columns(self) -> tuple[str, ...]:
        """What the trainer is given: ("text",), or the parts of a pair."""
        names = ("anchor", "positive", "negative") if self.negative_column else ("anchor", "positive")
        return names if self.anchor_column else ("text",)

    def as_texts(self, sources: list[Source]) -> list[Source]:
        """The raw sources with a pair's texts one by one: what labelled texts are looked for in."""
        if self.columns == ("text",):
            return sources
        return [
            replace(source, columns={"text": source.columns.get(column, column)})
            for source in sources
            for column in self.columns
        ]

    @property
    def column_settings(self) -> dict[str, str]:  # type: ignore[override]
        """As in `DataSettings`."""
        return {column: f"{column}_column" for column in self.columns}


@dataclass
class SentenceModelSettings:
    """A model that makes one vector of a text, and its tokenizer."""

    model: str = field(
        default="static",
        metadata={
            "is_checkpoint": True,
            "help": "static (a table of embeddings), or a transformer: tiny, mini, small or base from scratch; or a "
            "checkpoint's Hub id or path, static or not, to go on from.",
        },
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "For a transformer from scratch: hidden_size=256,num_hidden_layers=4."}
    )
    num_features: int = field(default=256, metadata={"help": "Features of a static table."})
    pooling: str | None = field(
        default=None,
        metadata={"help": "Of a transformer: mean, cls or last. By default as its checkpoint says, or mean."},
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "Tokens of a text that a transformer reads. By default as its checkpoint says, or 128."},
    )
    initial_embeddings: str | None = field(
        default=None,
        metadata={
            "is_checkpoint": True,
            "help": "A static checkpoint that the embeddings of a transformer from scratch start from.",
        },
    )
    tokenizer: str | None = field(
        default=None,
        metadata={
            "is_checkpoint": True,
            "help": "words or bpe, trained on the data; a Hub id or path. By default the checkpoint's, from scratch "
            "words for static and bpe for transformers.",
        },
    )
    vocab_size: int = field(default=30_000, metadata={"help": "Tokens of a tokenizer that is trained."})
    tokenizer_num_examples: int = field(
        default=20_000, metadata={"help": "Examples that a tokenizer is trained on, from the beginning of the data."}
    )
