"""What every recipe's script is told beside the trainer's own arguments: data, model, few-label proof."""

from dataclasses import dataclass, field

from hf_unlab.data.sources import Source

# What a built-in corpus is proved on: a labelled one, its splits to draw labels from and to test on.
BUILTIN_LABELLED = {
    "builtin:docstrings": ("builtin:docstrings", "labelled_train", "labelled_test"),
    "builtin:glyphs": ("builtin:digits", "train", "test"),
    "builtin:formants": ("builtin:formants", "labelled_train", "labelled_test"),
}


@dataclass
class DataSettings:
    """Raw data: one source by options with `datasets.load_dataset`'s meanings, or several by a `data:` list."""

    dataset: str | None = field(
        default=None,
        metadata={"help": "A Hub id, a builder (json, text, csv, parquet), a local file or folder, or builtin:NAME."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    data_files: list[str] | None = field(default=None, metadata={"help": "Files, globs or URLs."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder inside the data set."})
    split: str = field(default="train", metadata={"help": "Split to read."})
    eval_dataset: str | None = field(
        default=None,
        metadata={"help": "Data to evaluate on, in place of a held-out part; by default --dataset with eval_files."},
    )
    eval_files: list[str] | None = field(default=None, metadata={"help": "Its files, globs or URLs."})
    eval_split: str | None = field(
        default=None, metadata={"help": "Its split, by default test; given alone, a split of --dataset."}
    )
    data: list[Source] | None = field(
        default=None, metadata={"help": "Several sources, each with path, weight, ...", "yaml_only": True}
    )
    eval_data: list[Source] | None = field(
        default=None, metadata={"help": "What to evaluate `data` on, in place of a held-out part.", "yaml_only": True}
    )

    def sources(self) -> list[Source]:
        """The sources; `dataset` goes before `data`, so that the command line can replace a recipe's list.

        Raises:
            ValueError: Neither is given.

        Example:
            >>> TextDataSettings(dataset="json", data_files=["a.jsonl"], text_column="body").sources()[0].columns
            {'text': 'body'}
        """
        if self.dataset is None:
            if not self.data:
                raise ValueError("There is no data: give --dataset, or a data: list in the YAML file.")
            return self.data
        source = Source(
            self.dataset,
            self.dataset_config,
            split=self.split,
            data_files=self.data_files,
            data_dir=self.data_dir,
            columns=self._columns(),
        )
        return [source]

    def eval_sources(self) -> list[Source] | None:
        """The data to evaluate on, if there is some apart from the training data; `eval_data` belongs to `data`.

        Raises:
            ValueError: There are files and nobody knows of which format.

        Example:
            >>> DataSettings(dataset="json", eval_files=["held-out.jsonl"]).eval_sources()[0].data_files
            ['held-out.jsonl']
        """
        if not (self.eval_dataset or self.eval_files or self.eval_split):
            return self.eval_data if self.dataset is None else None
        path = self.eval_dataset or self.dataset
        if path is None:
            raise ValueError("eval_files and eval_split need --eval_dataset: a Hub id, or the builder of the files.")
        name = self.dataset_config if path == self.dataset else None
        split = "train" if self.eval_files else self.eval_split or "test"  # loose files have the one split "train"
        return [Source(path, name, split=split, data_files=self.eval_files, columns=self._columns())]

    def _columns(self) -> dict[str, str]:
        """Which of the data's columns are read under another name."""
        return {}


@dataclass
class TextDataSettings(DataSettings):
    """Raw text."""

    text_column: str = field(default="text", metadata={"help": "The column with the text."})

    def _columns(self) -> dict[str, str]:
        return renamed(text=self.text_column)


@dataclass
class ImageTextDataSettings(DataSettings):
    """Pairs of images and captions."""

    image_column: str = field(default="image", metadata={"help": "The column with the image."})
    text_column: str = field(default="text", metadata={"help": "The column with the caption, or a list of them."})

    def _columns(self) -> dict[str, str]:
        return renamed(image=self.image_column, text=self.text_column)


def renamed(**columns: str) -> dict[str, str]:
    """`Source.columns`, without the columns that have their name already.

    Example:
        >>> renamed(image="jpg", text="text")
        {'image': 'jpg'}
    """
    return {new: old for new, old in columns.items() if new != old}


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
class DualEncoderSettings:
    """A dual encoder of images and texts: see `load_dual_encoder`."""

    model: str = field(
        default="tiny",
        metadata={
            "help": "tiny, tiny-groupnorm or base from scratch, open_clip:ARCHITECTURE from scratch, "
            "open_clip:hf-hub:NAME, or a dual encoder's Hub id or path (of an image encoder, with text_tower)."
        },
    )
    text_tower: str | None = field(
        default=None, metadata={"help": "A text encoder to join with the image encoder `model`."}
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    image_size: int | None = field(
        default=None, metadata={"help": "Pixels of a side (tiny, open_clip); by default the model's own."}
    )
    lock_image: bool = field(default=False, metadata={"help": "Train the text tower only (LiT)."})
    patch_dropout: float = field(
        default=0.0, metadata={"help": "Share of an image's patches left out in training (open_clip's ViT)."}
    )
    logit_scale: float | None = field(
        default=None, metadata={"help": "Start of the inverse temperature; by default the model's own."}
    )
    logit_bias: float | None = field(
        default=None, metadata={"help": "Start of the bias of a sigmoid loss, such as -10; gives open_clip's one."}
    )
    vocab_size: int = field(default=2048, metadata={"help": "Tokens of tiny's tokenizer, trained on the captions."})
    tokenizer_num_examples: int = field(
        default=20_000, metadata={"help": "Captions that it is trained on, from the beginning of the data."}
    )


@dataclass
class FewLabelSettings:
    """The proof after pretraining: classification with few labels a class."""

    labelled_dataset: str | None = field(
        default=None,
        metadata={"help": "Labelled data, as --dataset. By default a built-in corpus's own labels, if it has some."},
    )
    labelled_config: str | None = field(default=None, metadata={"help": "Its configuration."})
    labelled_data_dir: str | None = field(
        default=None, metadata={"help": "Folder inside it, or that a builder reads."}
    )
    labelled_train_files: list[str] | None = field(
        default=None, metadata={"help": "Files that labels are drawn from."}
    )
    labelled_test_files: list[str] | None = field(default=None, metadata={"help": "Files that are tested on."})
    labelled_train_split: str = field(default="train", metadata={"help": "Split that labels are drawn from."})
    labelled_test_split: str = field(default="test", metadata={"help": "Split that is tested on."})
    label_column: str = field(default="label", metadata={"help": "Its column with the label."})
    num_labels_per_class: list[int] = field(
        default_factory=lambda: [5, 10, 50], metadata={"help": "Columns of the table."}
    )
    few_label_seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "Draws of the labels."})
    few_label_max_pool: int = field(default=20_000, metadata={"help": "Examples that labels are drawn from."})
    few_label_max_test: int = field(default=1000, metadata={"help": "Test examples scored, drawn at random."})
    finetune_learning_rate: float = field(default=5e-4, metadata={"help": "Peak rate of fine-tuning."})
    finetune_steps: int | None = field(
        default=None, metadata={"help": "Steps a fit; by default 15 passes, at least 30 and at most 100 steps."}
    )

    def labelled_sources(self, training: list[Source]) -> tuple[Source, Source] | None:
        """Where labels are drawn from and where they are tested; None if there are no labels.

        Args:
            training: The raw data, whose own labels are taken if it is one built-in corpus.

        Example:
            >>> TextFewLabelSettings().labelled_sources([Source("builtin:docstrings")])[1].split
            'labelled_test'
        """
        if self.labelled_dataset is None:
            if len(training) != 1 or training[0].path not in BUILTIN_LABELLED:
                return None
            path, *splits = BUILTIN_LABELLED[training[0].path]
        else:
            path, splits = self.labelled_dataset, [self.labelled_train_split, self.labelled_test_split]
            if self.labelled_train_files or self.labelled_test_files:
                # a data set made of loose files has the one split "train"
                splits = ["train", "train"]
        files = (self.labelled_train_files, self.labelled_test_files)
        columns = {**self._columns(), "label": self.label_column}
        if path.startswith("builtin:"):  # inputs and labels have their names there
            columns = {new: old for new, old in columns.items() if new == "group"}
        first, second = (
            Source(
                path,
                self.labelled_config,
                split=split,
                data_files=part,
                data_dir=self.labelled_data_dir,
                columns=columns,
            )
            for split, part in zip(splits, files, strict=True)
        )
        return first, second

    def _columns(self) -> dict[str, str]:
        """Where the inputs are."""
        return {}


@dataclass
class TextFewLabelSettings(FewLabelSettings):
    """Classification of texts with few labels a class."""

    labelled_text_column: str = field(default="text", metadata={"help": "The column with the labelled text."})
    few_label_max_length: int = field(default=128, metadata={"help": "Tokens read of each labelled text."})

    def _columns(self) -> dict[str, str]:
        return {"text": self.labelled_text_column}


@dataclass
class ImageFewLabelSettings(FewLabelSettings):
    """Classification of images with few labels a class."""

    labelled_image_column: str = field(default="image", metadata={"help": "The column with the labelled image."})
    # suits small convolutional networks; a ViT-B wants about 3e-5
    finetune_learning_rate: float = field(default=2e-3, metadata={"help": "Peak rate of fine-tuning."})

    def _columns(self) -> dict[str, str]:
        return {"image": self.labelled_image_column}
