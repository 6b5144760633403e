"""Settings of wav2vec 2.0 pretraining."""

from dataclasses import dataclass, field

from hf_unlab.objectives.clips import ClipTrainingArguments
from hf_unlab.objectives.wav2vec2.collator import check_spans


@dataclass
class Wav2Vec2TrainingArguments(ClipTrainingArguments):
    """Settings of wav2vec 2.0 pretraining; the defaults are the paper's BASE, in fairseq's recipe.

    Defaults that differ from PretrainingArguments: `per_device_train_batch_size` 256, which is only the most clips of
    a batch, as batches are cut by seconds.
    """

    # Objective
    mask_probability: float = field(
        default=0.65,
        metadata={"help": "Share of the frames that would be hidden if no spans overlapped.", "fixed": True},
    )
    mask_length: int = field(default=10, metadata={"help": "Frames of a hidden span.", "fixed": True})
    num_negatives: int = field(default=100, metadata={"help": "Negatives of each hidden frame."})
    diversity_weight: float = field(default=0.1, metadata={"help": "Weight of the diversity loss of the codes."})
    feature_penalty_weight: float = field(
        default=10.0, metadata={"help": "Weight of the mean square of the extracted features."}
    )
    feature_grad_scale: float = field(
        default=0.1, metadata={"help": "The gradient into the feature extractor is multiplied by it."}
    )
    gumbel_temperature_start: float = field(default=2.0, metadata={"help": "Temperature of the codes at step 0."})
    gumbel_temperature_end: float = field(default=0.5, metadata={"help": "It does not fall below."})
    gumbel_temperature_decay: float = field(default=0.999995, metadata={"help": "Its factor from step to step."})
    # Collapse
    collapse_min_perplexity: float = field(
        default=0.1, metadata={"help": "Least perplexity, of codes and of probabilities, as a share of all codes."}
    )
    collapse_max_accuracy: float = field(default=0.98, metadata={"help": "Greatest contrastive accuracy."})
    # Speed
    channels_last: bool | None = field(
        default=None, metadata={"help": "Convolve as matrix products, channels last; by default on CPUs."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_shares("collapse_min_perplexity", "collapse_max_accuracy")
        check_spans(self.mask_probability, self.mask_length, 1)
        for name in ("diversity_weight", "feature_penalty_weight", "feature_grad_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}.")
        self.check_counts("num_negatives")
        start, end, decay = (getattr(self, f"gumbel_temperature_{name}") for name in ("start", "end", "decay"))
        if not (0 < end <= start and 0 < decay <= 1):
            raise ValueError(f"The temperature must fall to an end above 0, not from {start} to {end} by {decay}.")

    def gumbel_temperature(self, step: int) -> float:
        """The temperature of a step: a function of its number alone, so that it resumes.

        Example:
            >>> args = Wav2Vec2TrainingArguments("out", gumbel_temperature_decay=0.99, use_cpu=True)
            >>> args.gumbel_temperature(0), args.gumbel_temperature(1), args.gumbel_temperature(1000)
            (2.0, 1.98, 0.5)
        """
        return max(self.gumbel_temperature_start * self.gumbel_temperature_decay**step, self.gumbel_temperature_end)
