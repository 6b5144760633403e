"""Settings of BEST-RQ pretraining."""

from dataclasses import dataclass, field

from hf_unlab.modalities.audio.spans import check_varied_spans
from hf_unlab.objectives.best_rq.quantiser import QuantiserSettings
from hf_unlab.objectives.clips import ClipTrainingArguments

NORMALISATIONS = ("clip", "none", "group")


@dataclass
class BestRQTrainingArguments(ClipTrainingArguments):
    """Settings of BEST-RQ pretraining.

    Defaults that differ from PretrainingArguments: `per_device_train_batch_size` 256, which is only the most clips of
    a batch, as batches are cut by seconds.
    """

    # Data
    normalise: str = field(
        default="clip",
        metadata={
            "help": "Each mel band is brought to mean 0 and deviation 1 over each clip, over each group (see "
            "--group_column), or not at all.",
            "choices": NORMALISATIONS,
            "fixed": True,
        },
    )
    group_statistics_clips: int = field(
        default=1000,
        metadata={
            "help": "For normalise group: the first clips, from which each group's mean and deviation are taken. A "
            "clip of a group that is not among them is normalised by itself.",
            "fixed": True,
        },
    )
    # Objective
    mask_share: float = field(default=0.45, metadata={"help": "Share of the tokens to hide.", "fixed": True})
    mask_min_tokens: int = field(default=3, metadata={"help": "Tokens of the shortest hidden span.", "fixed": True})
    mask_max_tokens: int = field(default=7, metadata={"help": "Tokens of the longest hidden span.", "fixed": True})
    # of another size the heads of a checkpoint do not fit, which refuses them
    num_codebooks: int = field(default=4, metadata={"help": "Random codebooks."})
    codebook_size: int = field(default=256, metadata={"help": "Codes of each."})
    codebook_dim: int = field(default=16, metadata={"help": "Features of a code."})
    codebook_seed: int = field(default=0, metadata={"help": "Draws projections and codes.", "fixed": True})
    # Collapse
    collapse_max_cosine: float = field(
        default=0.999,
        metadata={"help": "Greatest mean cosine of the states at hidden tokens; 1 lets all pass but NaN."},
    )
    collapse_min_perplexity: float = field(
        default=0.02, metadata={"help": "Least perplexity of the codes to predict, as a share of a codebook."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalise not in NORMALISATIONS:
            raise ValueError(f"normalise is {self.normalise!r}; give {', '.join(NORMALISATIONS)}.")
        check_varied_spans(self.mask_share, self.mask_min_tokens, self.mask_max_tokens)
        self.quantiser()
        self.check_counts("group_statistics_clips")
        self.check_shares("collapse_max_cosine", "collapse_min_perplexity")

    def quantiser(self) -> QuantiserSettings:
        """Sizes and seed of the quantiser.

        Example:
            >>> BestRQTrainingArguments("out", codebook_size=64, use_cpu=True).quantiser().codebook_size
            64
        """
        return QuantiserSettings(self.num_codebooks, self.codebook_size, self.codebook_dim, self.codebook_seed)

    def check_group_column(self, group_column: str | None) -> None:
        """Refuse a column of groups that nothing is normalised by.

        Raises:
            ValueError: There is one, and `normalise` is not group.

        Example:
            >>> BestRQTrainingArguments("out", use_cpu=True).check_group_column("speaker")
            Traceback (most recent call last):
            ValueError: group_column='speaker' cannot act: normalise is 'clip'; say group, or leave it out.
        """
        if group_column is not None and self.normalise != "group":
            raise ValueError(
                f"group_column={group_column!r} cannot act: normalise is {self.normalise!r}; say group, or leave it "
                "out."
            )
