"""What every recipe's script is told beside the trainer's own arguments: data, few-label proof."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from hf_unlab.corpora import BUILTIN_LABELLED
from hf_unlab.streams.sources import Source

# Of the few-label table: the modality's cheap baselines; probes of the network with random weights and as pretrained;
# its features beside a baseline's; what chooses by the labels, without and with unlabelled examples; all weights
# trained from scratch and as pretrained; and of an encoder that reads names, without a label.
FEW_LABEL_ROWS = ("cheap", "random", "probe", "beside", "auto", "unlabelled", "scratch", "finetuned", "zero-shot")


@dataclass
class DataSettings:
    """Raw data: one source by options with `datasets.load_dataset`'s meanings, or several by a `data:` list."""

    column_settings: ClassVar[dict[str, str]] = {}  # from a column to the setting that says what the data calls it
    dataset: str | None = field(
        default=None,
        metadata={"help": "A Hub id, a builder (json, text, csv, parquet), a local file or folder, or builtin:NAME."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    data_files: list[str] | None = field(default=None, metadata={"help": "Files, globs or URLs."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder inside the data set."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Git revision of a Hub data set."})
    split: str | None = field(
        default=None, metadata={"help": "Split to read; by default train of what has splits, and all loose files."}
    )
    data_options: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "The loader's own: sample_by, sep, encoding, field, ...", "yaml_only": True},
    )
    on_broken: Literal["stop", "skip"] = field(
        default="stop", metadata={"help": "What a line does that cannot be read: stop the run, or be skipped."}
    )
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
            >>> from hf_unlab.modalities.text.settings import TextDataSettings
            >>> TextDataSettings(dataset="json", data_files=["a.jsonl"], text_column="body").sources()[0].columns
            {'text': 'body'}
        """
        if self.dataset is None:
            if not self.data:
                raise ValueError("There is no data: give --dataset, or a data: list in the YAML file.")
            return self.data
        is_shared = self.eval_split is not None and self.eval_dataset is None and self.eval_files is None
        split = self.split or ("train" if is_shared else None)  # what is evaluated on is not to be trained on
        return [self._source(split, self.data_files)]

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
        split = None if self.eval_files else self.eval_split or "test"  # files that are named have no splits
        if path == self.dataset:
            return [self._source(split, self.eval_files)]
        return [
            Source(path, split=split, data_files=self.eval_files, columns=self._columns(), on_broken=self.on_broken)
        ]

    def _source(self, split: str | None, files: list[str] | None) -> Source:
        """A part of `dataset`."""
        assert self.dataset is not None
        return Source(
            self.dataset,
            self.dataset_config,
            split=split,
            data_files=files,
            data_dir=self.data_dir,
            revision=self.dataset_revision,
            columns=self._columns(),
            options=self.data_options,
            on_broken=self.on_broken,
        )

    def _columns(self) -> dict[str, str]:
        """`Source.columns`, without the columns that have their name already."""
        return {new: old for new, old in named_columns(self).items() if new != old}


def named_columns(settings: "DataSettings | FewLabelSettings") -> dict[str, str]:
    """The columns that settings name, by what they are read as.

    Example:
        >>> from hf_unlab.modalities.text.settings import TextDataSettings
        >>> named_columns(TextDataSettings(text_column="body"))
        {'text': 'body'}
    """
    told = {column: vars(settings)[setting] for column, setting in settings.column_settings.items()}
    return {column: name for column, name in told.items() if name is not None}


@dataclass
class FewLabelSettings:
    """The proof after pretraining: classification with few labels a class."""

    column_settings: ClassVar[dict[str, str]] = {}  # as in `DataSettings`, but for the label
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
        default_factory=lambda: [5, 10, 50],
        metadata={"help": "Columns of the table; of a class that has fewer labels, all are taken."},
    )
    few_label_seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "Draws of the labels."})
    few_label_rows: list[str] = field(
        default_factory=lambda: list(FEW_LABEL_ROWS),
        metadata={
            "help": f"Rows of the table, of {', '.join(FEW_LABEL_ROWS)}; those that are fine-tuned take longest."
        },
    )
    few_label_network: Literal["small", "always", "never"] = field(
        default="small",
        metadata={"help": "Whether the rows of auto ask a fine-tuned network, too: where that takes seconds a fit."},
    )
    few_label_max_pool: int = field(default=20_000, metadata={"help": "Examples that labels are drawn from."})
    few_label_num_unlabelled: int = field(
        default=0,
        metadata={
            "help": "Raw examples of the data pretrained on that are learnt from without label, beside the pool."
        },
    )
    few_label_max_test: int = field(default=1000, metadata={"help": "Test examples scored, drawn at random."})
    finetune_learning_rate: float = field(default=5e-4, metadata={"help": "Peak rate of fine-tuning."})
    finetune_steps: int = field(
        default=200, metadata={"help": "Steps of a fit at most; it ends sooner once its training loss is down."}
    )

    def unlimited(self) -> Self:
        """The same, by which each example is read whole."""
        return self

    def limit(self) -> str:
        """What is read of each example, for a note; empty where it is the whole of it."""
        return ""

    def labelled_sources(self, training: list[Source]) -> tuple[Source, Source] | None:
        """Where labels are drawn from and where they are tested; None if there are no labels.

        Args:
            training: The raw data, whose own labels are taken if it is one built-in corpus.

        Example:
            >>> FewLabelSettings().labelled_sources([Source("builtin:docstrings")])[1].split
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
        columns = {**named_columns(self), "label": self.label_column}
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
