"""What recipes/wav2vec2/finetune.py is told beside the training arguments."""

from dataclasses import dataclass, field, fields
from typing import Literal

from hf_unlab.streams.sources import BUILTIN_PREFIX, Source

# The labelled splits of built-in corpora of audio, by task: to train on and to test on.
BUILTIN_SPLITS = {
    "ctc": ("transcribed_train", "transcribed_test"),
    "classification": ("labelled_train", "labelled_test"),
}
# Settings of `AudioFinetuneSettings` that one task reads and the other does not.
_OF_ONE_TASK = {
    "ctc": (
        "text_column",
        "max_train_minutes",
        "lowercase",
        "freeze_feature_encoder",
        "mask_time_prob",
        "mask_time_length",
    ),
    "classification": ("label_column", "num_labels_per_class"),
}


@dataclass
class AudioFinetuneSettings:
    """Fine-tuning of a checkpoint on labelled audio."""

    model: str = field(metadata={"help": "The pretrained checkpoint: a path or a Hub id."})
    task: Literal["ctc", "classification"] = field(
        default="ctc", metadata={"help": "ctc transcribes, classification names a class."}
    )
    dataset: str = field(
        default="builtin:formants",
        metadata={"help": "A Hub id, a builder (parquet, audiofolder), a local file or folder, or builtin:NAME."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    train_files: list[str] | None = field(default=None, metadata={"help": "Files that labels are drawn from."})
    test_files: list[str] | None = field(default=None, metadata={"help": "Files that are tested on."})
    train_split: str | None = field(
        default=None, metadata={"help": "Split that labels are drawn from; train, or a built-in corpus's own."}
    )
    test_split: str | None = field(
        default=None, metadata={"help": "Split that is tested on; test, or a built-in corpus's own."}
    )
    audio_column: str = field(default="audio", metadata={"help": "The column with the recording."})
    text_column: str = field(default="text", metadata={"help": "The column with the transcript (ctc)."})
    label_column: str = field(default="label", metadata={"help": "The column with the class (classification)."})
    max_pool: int = field(default=20_000, metadata={"help": "Clips that are drawn from: the first so many."})
    max_test: int = field(default=1000, metadata={"help": "Clips tested on, drawn at random."})
    max_train_minutes: float | None = field(
        default=None,
        metadata={"help": "Minutes of labelled audio, drawn at random by the seed (ctc); all by default."},
    )
    max_seconds: float | None = field(
        default=20.0, metadata={"help": "Longer training clips are left out (ctc); longer clips cut (classification)."}
    )
    lowercase: bool = field(default=False, metadata={"help": "Write transcripts in small letters (ctc)."})
    freeze_feature_encoder: bool = field(
        default=True, metadata={"help": "Keep the pretrained convolutions as they are, as the paper does (ctc)."}
    )
    mask_time_prob: float = field(
        default=0.05, metadata={"help": "Share of frames that SpecAugment hides, 0 for none (ctc)."}
    )
    mask_time_length: int = field(
        default=10, metadata={"help": "Frames of a hidden span; clips under two spans are not masked (ctc)."}
    )
    num_labels_per_class: int | None = field(
        default=None,
        metadata={
            "help": "Labels of each class, as far as there are, drawn by the seed (classification); all by default."
        },
    )
    compare_from_scratch: bool = field(
        default=True, metadata={"help": "Train the same architecture from random weights, too."}
    )

    def __post_init__(self) -> None:
        """Refuses what the task would not look at."""
        ignored = [
            entry.name
            for task, names in _OF_ONE_TASK.items()
            for entry in fields(self)
            if task != self.task and entry.name in names and getattr(self, entry.name) != entry.default
        ]
        if ignored:
            raise ValueError(f"{' and '.join(ignored)} would have no effect on --task {self.task}; leave them out.")

    def sources(self) -> tuple[Source, Source]:
        """The data to train on and to test on, with the columns `audio` and `text` (ctc) or `label`.

        Raises:
            ValueError: Training and test data are the same.

        Example:
            >>> train, test = AudioFinetuneSettings("OUT", dataset="my/speech", text_column="sentence").sources()
            >>> train.split, test.split, test.columns
            ('train', 'test', {'text': 'sentence'})
        """
        splits = BUILTIN_SPLITS[self.task] if self.dataset.startswith(BUILTIN_PREFIX) else ("train", "test")
        if self.train_files or self.test_files:
            splits = ("train", "train")  # loose files have the one split "train"
        target = ("text", self.text_column) if self.task == "ctc" else ("label", self.label_column)
        columns = {new: old for new, old in (("audio", self.audio_column), target) if new != old}
        train, test = (
            Source(self.dataset, self.dataset_config, split=split, data_files=files, columns=columns)
            for split, files in (
                (self.train_split or splits[0], self.train_files),
                (self.test_split or splits[1], self.test_files),
            )
        )
        if train == test:
            raise ValueError(f"Training and test data are both {train.quoted}: give two splits, or files.")
        return train, test
