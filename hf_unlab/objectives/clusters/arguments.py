"""Settings of learning by clusters."""

from dataclasses import dataclass, field

from hf_unlab.training.arguments import PretrainingArguments

NORMALISATIONS = ("clip", "none", "group")
BALANCES = ("none", "group", "all")


@dataclass
class ClusterTrainingArguments(PretrainingArguments):
    """Settings of learning by clusters.

    Defaults that differ from PretrainingArguments: `learning_rate` 7e-4, `per_device_train_batch_size` 64.
    """

    # Rounds
    num_rounds: int = field(
        default=2,
        metadata={"help": "Rounds of as many steps each; each begins with clusters of the model's features."},
    )
    cluster_sizes: list[int] = field(
        default_factory=lambda: [20, 40, 80],
        metadata={"help": "Numbers of clusters; each example is in one of each.", "fixed": True},
    )
    pca_dim: int = field(default=48, metadata={"help": "Features that are clustered, behind a PCA."})
    whiten: bool = field(default=False, metadata={"help": "Whether the PCA's features are brought to one scale."})
    group_column: str | None = field(
        default=None,
        metadata={
            "help": "A column of the raw data such as the speaker: features are standardised within each group before "
            "they are clustered; by default over all examples.",
            "fixed": True,
        },
    )
    balance: str = field(
        default="none",
        metadata={
            "help": "Whether each cluster must hold an equal share of every group (see --group_column), or of all "
            "examples: where all speakers say the same things, clusters are then of these and not of voices.",
            "choices": BALANCES,
            "fixed": True,
        },
    )
    max_clustered: int = field(
        default=20_000,
        metadata={"help": "Training examples that clusters are fitted to; all others get the nearest centres."},
    )
    layer: int | None = field(
        default=None, metadata={"help": "Hidden states that are read, where there are some; by default as probes do."}
    )
    pooling: str | None = field(
        default=None, metadata={"help": "How they become one vector, as the encoder knows it; by default its first."}
    )
    # Objective
    label_smoothing: float = field(
        default=0.1, metadata={"help": "Share of each target that is spread over all clusters."}
    )
    # Views of images
    least_crop_area: float = field(
        default=0.35,
        metadata={"help": "Views of an image are crops of at least this share of its area.", "fixed": True},
    )
    flip_probability: float = field(
        default=0.0, metadata={"help": "Share of an image's views that are mirrored.", "fixed": True}
    )
    jitter: float = field(
        default=0.4, metadata={"help": "How much brighter, or darker, views of an image may be.", "fixed": True}
    )
    # Views of recordings
    max_seconds: float = field(
        default=15.0, metadata={"help": "Of longer recordings the beginning is heard.", "fixed": True}
    )
    least_crop_time: float = field(
        default=0.85, metadata={"help": "Views of a recording keep at least this share of its time.", "fixed": True}
    )
    level_db: float = field(
        default=6.0, metadata={"help": "They are louder or quieter by up to so much.", "fixed": True}
    )
    least_snr_db: float = field(
        default=10.0, metadata={"help": "They are at least so far above noise.", "fixed": True}
    )
    # Views of recordings, where the model reads log-mel frames: in place of level and noise of the waveform
    normalise: str | None = field(
        default=None,
        metadata={
            "help": "Each mel band is brought to mean 0 and deviation 1 over each clip, over each group (see "
            "--group_column), or not at all; by default as the model was pretrained.",
            "choices": NORMALISATIONS,
            "fixed": True,
        },
    )
    group_statistics_clips: int = field(
        default=1000,
        metadata={
            "help": "For normalise group: clips from which each group's mean and deviation are taken.",
            "fixed": True,
        },
    )
    stretch: float = field(
        default=0.2, metadata={"help": "Views are slower or faster by up to exp of this.", "fixed": True}
    )
    warp: float = field(default=0.15, metadata={"help": "So is the length of the vocal tract.", "fixed": True})
    equaliser: float = field(
        default=0.5, metadata={"help": "Height of a smooth curve that is added to the bands.", "fixed": True}
    )
    noise: float = field(
        default=0.5, metadata={"help": "Noise beside the sound; 1: as loud as its mean.", "fixed": True}
    )
    band_mask: float = field(default=0.2, metadata={"help": "Share of the bands that may be hidden.", "fixed": True})
    time_mask: float = field(default=0.15, metadata={"help": "Share of the time that may be hidden.", "fixed": True})
    # Collapse
    collapse_max_cluster: float = field(
        default=0.5, metadata={"help": "Greatest share of the examples that a cluster may hold; more is warned of."}
    )
    collapse_min_perplexity: float = field(
        default=0.1, metadata={"help": "Least perplexity of the clusters, as a share of their number."}
    )
    # PretrainingArguments' own, with other defaults
    learning_rate: float = field(default=7e-4, metadata={"help": "Of a small model; a large one wants less."})
    per_device_train_batch_size: int = field(default=64, metadata={"help": "Examples of a micro-batch."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Held-out examples of a batch."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_rounds <= self.max_steps:
            raise ValueError(f"num_rounds must lie between 1 and max_steps={self.max_steps}, not {self.num_rounds}.")
        if not self.cluster_sizes or min(self.cluster_sizes) < 2:
            raise ValueError(
                f"cluster_sizes must name numbers of clusters, each at least 2, not {self.cluster_sizes}."
            )
        if len(set(self.cluster_sizes)) < len(self.cluster_sizes):
            raise ValueError(f"cluster_sizes must differ from one another, not {self.cluster_sizes}.")
        if self.balance not in BALANCES or (self.balance == "group" and self.group_column is None):
            raise ValueError(
                f"balance is {self.balance!r} and group_column {self.group_column!r}: balance is one of "
                f"{', '.join(BALANCES)}, and group needs the column of the raw data with it."
            )
        if self.pca_dim < 1:
            raise ValueError(f"pca_dim must be at least 1, not {self.pca_dim}.")
        if self.max_clustered < max(self.cluster_sizes):
            raise ValueError(
                f"max_clustered must be at least the number of clusters, {max(self.cluster_sizes)}, not "
                f"{self.max_clustered}."
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie between 0 and 1, not {self.label_smoothing}.")
        if not self.max_seconds > 0:
            raise ValueError(f"max_seconds must be above 0, not {self.max_seconds}.")
        for name in ("least_crop_area", "least_crop_time", "collapse_max_cluster"):
            if not 0 < vars(self)[name] <= 1:
                raise ValueError(f"{name} must be a share, above 0, not {vars(self)[name]}.")
        if self.normalise not in (None, *NORMALISATIONS):
            raise ValueError(f"normalise is {self.normalise!r}; give {', '.join(NORMALISATIONS)}.")
        if self.group_statistics_clips < 1:
            raise ValueError(f"group_statistics_clips must be at least 1, not {self.group_statistics_clips}.")
        for name in ("flip_probability", "jitter", "collapse_min_perplexity"):
            if not 0 <= vars(self)[name] <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {vars(self)[name]}.")

    def round_of(self, step: int) -> int:
        """The round, from 0, that an optimizer step, from 1, belongs to.

        Example:
            >>> args = ClusterTrainingArguments("out", max_steps=10, num_rounds=2, use_cpu=True)
            >>> [args.round_of(step) for step in (1, 5, 6, 10)]
            [0, 0, 1, 1]
        """
        return min((step - 1) * self.num_rounds // self.max_steps, self.num_rounds - 1)
