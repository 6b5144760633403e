"""Settings of word vectors."""

import logging
from dataclasses import dataclass, field

from hf_unlab.training.arguments import PretrainingArguments

logger = logging.getLogger(__name__)
OBJECTIVES = ("skip_gram", "glove")
# settings that only one objective reads
_OF_ONE = {
    "skip_gram": ("num_negatives", "negative_power", "subsampling_threshold", "num_counted_examples"),
    "glove": ("glove_saturation", "glove_power"),
}


@dataclass
class WordVectorsTrainingArguments(PretrainingArguments):
    """Settings of skip-gram and GloVe.

    Defaults that differ from PretrainingArguments: those of a static table that is trained for seconds,
    `learning_rate` 3e-2, `per_device_train_batch_size` 128, `lr_scheduler_type` "linear" as word2vec's, no warm-up.
    """

    objective: str = field(
        default="skip_gram",
        metadata={
            "help": "skip_gram (with negative sampling), or glove (counts of each micro-batch, not of the corpus).",
            "choices": OBJECTIVES,
            "fixed": True,
        },
    )
    # Data
    max_document_tokens: int = field(
        default=1024, metadata={"help": "Of a longer document so many in a row are drawn each time.", "fixed": True}
    )
    max_characters: int = field(default=1_000_000, metadata={"help": "A longer text is skipped as a bad example."})
    num_counted_examples: int = field(
        default=10_000,
        metadata={
            "help": "Examples, from the beginning of the data, that frequencies of words are counted from.",
            "fixed": True,
        },
    )
    # Objective
    window: int = field(
        default=5,
        metadata={"help": "Tokens to each side; skip_gram draws a width up to it for each word.", "fixed": True},
    )
    num_negatives: int = field(default=5, metadata={"help": "Of skip_gram, shared by 64 tokens.", "fixed": True})
    negative_power: float = field(
        default=0.75, metadata={"help": "Negatives are drawn by frequency to this power.", "fixed": True}
    )
    subsampling_threshold: float = field(
        default=1e-3,
        metadata={
            "help": "A word of a greater share of the text is left out at times (skip_gram); 0: none is.",
            "fixed": True,
        },
    )
    glove_saturation: float = field(
        default=10.0, metadata={"help": "Count in a micro-batch from which on all pairs weigh the same."}
    )
    glove_power: float = field(default=0.75, metadata={"help": "How fast rarer pairs weigh less."})
    # Collapse
    collapse_max_cosine: float = field(
        default=0.999, metadata={"help": "Greatest mean cosine of the words of a step; 1 lets all pass but NaN."}
    )
    # PretrainingArguments' own, with other defaults
    learning_rate: float = field(default=3e-2, metadata={"help": "Of the table and its contexts."})
    per_device_train_batch_size: int = field(default=128, metadata={"help": "Documents of a micro-batch."})
    per_device_eval_batch_size: int = field(default=128, metadata={"help": "Held-out documents of a batch."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Schedule of the learning rate."})
    warmup_steps: float = field(default=0.0, metadata={"help": "Steps, or below 1 a share of max_steps."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, not {self.objective!r}.")
        self._warn_of_ignored()
        for name in ("window", "num_negatives", "num_counted_examples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.max_document_tokens < 2:
            raise ValueError(f"max_document_tokens must be at least 2, a pair, not {self.max_document_tokens}.")
        if not 0 <= self.negative_power <= 1:
            raise ValueError(f"negative_power must lie between 0 and 1, not {self.negative_power}; 0.75 is usual.")
        if not 0 <= self.subsampling_threshold < 1:
            raise ValueError(
                f"subsampling_threshold is a share of the text, at least 0 and below 1, not "
                f"{self.subsampling_threshold}; 1e-3 to 1e-5 is usual, 0 leaves nothing out."
            )
        if not self.glove_saturation > 0 or not self.glove_power > 0:
            raise ValueError(
                f"glove_saturation is {self.glove_saturation} and glove_power {self.glove_power}; both must be above "
                "0: 100 and 0.75 in the paper, whose counts are of a corpus."
            )
        if not 0 <= self.collapse_max_cosine <= 1:
            raise ValueError(f"collapse_max_cosine must lie between 0 and 1, not {self.collapse_max_cosine}.")

    def _warn_of_ignored(self) -> None:
        for objective, names in _OF_ONE.items():
            given = [name for name in names if getattr(self, name) != getattr(type(self), name)]
            if given and objective != self.objective:
                said = ", ".join(f"{name}={getattr(self, name)}" for name in given)
                ending = "is" if len(given) == 1 else "are"
                logger.warning("%s %s ignored: objective is %s, not %s.", said, ending, self.objective, objective)
