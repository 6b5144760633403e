"""Learning by clusters (DeepCluster, Caron et al. 2018, https://huggingface.co/papers/1807.05520) of whole clips or
images.

A round begins: all examples -> features, by the model as it is -> PCA -> k-means of several sizes -> clusters, by the
hash of each example's content. Then: example -> a view of it -> features -> a linear head -> its clusters.

Heads are new in each round. They, the clusters and the table of targets are in checkpoints of the run, and are not
published.

Legend: B examples, D features, S sizes, C clusters of all sizes.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.running import seeded, without_weights
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.collator import HashedDecode, ViewCollator
from hf_unlab.objectives.clusters.embedding import Embedder, TrainingPass, decoded
from hf_unlab.objectives.clusters.rounds import make_targets, share_of
from hf_unlab.objectives.clusters.targets import Targets
from hf_unlab.objectives.clusters.views import kind_of
from hf_unlab.streams.bad_examples import Check, Decode, Example
from hf_unlab.streams.drawing import draw_from_all
from hf_unlab.streams.loader import Batch, Collator, ReaderPlan
from hf_unlab.streams.sources import iterate
from hf_unlab.training.collapse import HealthyBand
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import PretrainingTrainer

logger = logging.getLogger(__name__)


class ClusterPretrainingTrainer(PretrainingTrainer):
    """Train an encoder to tell which clusters of its own features an example is in, from views of it.

    Args:
        model: The bare encoder of a model of transformers (`AutoModel`), new or pretrained.
        args: Settings.
        *positional: As in `PretrainingTrainer`.
        modality: What it reads: "image" or "audio".
        **named: As in `PretrainingTrainer`; `processing_class` is the model's image processor or feature extractor.

    Raises:
        ValueError: As PretrainingTrainer's; or the model is no bare encoder, or its modality has no views.

    Example:
        >>> import tempfile
        >>> from transformers import ViTConfig, ViTImageProcessor, ViTModel
        >>> from hf_unlab.testing import tiny_pairs
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        >>> model = ViTModel(ViTConfig(**sizes, image_size=16, patch_size=8))
        >>> processor = ViTImageProcessor(size={"height": 16, "width": 16})
        >>> args = ClusterTrainingArguments(
        ...     tempfile.mkdtemp(), max_steps=2, cluster_sizes=[2, 4], num_readers=1, per_device_train_batch_size=8,
        ...     validation_fraction=0.2, disable_tqdm=True)
        >>> trainer = ClusterPretrainingTrainer(
        ...     model, args, tiny_pairs(50), modality="image", processing_class=processor)
        >>> _ = trainer.train()
        {...}
        >>> trainer.targets.number
        1
    """

    input_unit = "examples"
    metric_lines: ClassVar = {
        "clusters": {"perplexity": "cluster_perplexity", "greatest": "greatest_cluster", "as before": "cluster_nmi"}
    }
    args: ClusterTrainingArguments

    def __init__(
        self, model: PreTrainedModel, args: ClusterTrainingArguments, *positional: Any, modality: str, **named: Any
    ) -> None:
        self.modality = get_modality(modality)
        self._kind = kind_of(self.modality)
        columns = [self.modality.column, *([args.group_column] if args.group_column else [])]
        self.raw_columns = tuple(dict.fromkeys(columns))  # type: ignore[misc]  # of this run
        self.file_columns = self.modality.file_columns  # type: ignore[misc]
        if not isinstance(model, PreTrainedModel) or model.base_model is not model:
            raise ValueError(
                f"A {type(model).__name__} cannot learn by clusters: give the bare encoder of a model of "
                "transformers, as AutoModel loads it."
            )
        if named.get("processing_class") is None:
            raise ValueError(
                f"A {type(model).__name__} needs processing_class: its image processor or feature extractor."
            )
        self._decode: HashedDecode | None = None
        self._encoder = self.modality.live_encoder(model, named["processing_class"])
        self._encoder.pooling_named(args.pooling)
        super().__init__(model, args, *positional, **named)

    def auxiliary_modules(self) -> dict[str, nn.Module]:
        """The table of targets, and one linear map to the clusters of all sizes."""
        with seeded(self.args.seed):
            sample = features_of(self._live_encoder(), [self._kind.make_sample()], self.args.layer, self.args.pooling)
            heads = nn.Linear(sample.shape[1], sum(self.args.cluster_sizes))
        return {"targets": Targets(self.args.cluster_sizes), "heads": heads}

    @property
    def targets(self) -> Targets:
        """Those of the round."""
        targets = self.auxiliary["targets"]
        assert isinstance(targets, Targets)
        return targets

    def is_decayed(self, name: str, parameter: nn.Parameter) -> bool:
        """Matrices are: no gain of any norm or bias."""
        return parameter.ndim >= 2

    def _live_encoder(self) -> Encoder:
        """The model as it is, to embed with."""
        self._encoder.__dict__["model"] = self.accelerator.unwrap_model(self.model)
        return self._encoder

    # ---- Data ----

    def make_check(self) -> Check | None:
        """The modality's."""
        return self.modality.check

    def make_decode(self) -> Decode | None:
        """The modality's, with the hash of the content."""
        if self._decode is None:  # once, as statistics may have to be taken for it
            column = self.modality.column
            first = draw_from_all(self.train_dataset, self.args.group_statistics_clips)
            decode = self._kind.make_decode(self.args, self.modality, self._encoder, first)
            self._decode = HashedDecode(decode, column, is_file=column in self.modality.file_columns)
        return self._decode

    def make_collator(self, *, evaluation: bool) -> Collator:
        """Views of examples; in evaluation the examples themselves."""
        view = None if evaluation else self._kind.make_view(self.args, self._encoder)
        return ViewCollator(self.modality.column, without_weights(self._encoder), view, self.args.seed)

    # ---- Rounds ----

    def begin_step(self, step: int) -> None:
        """Where a round begins, cluster anew."""
        number = self.args.round_of(step)
        if step == 1 or number > self.targets.number:
            self._begin_round(number)

    def begin_evaluation(self) -> None:
        """Before anything is trained, held-out examples are measured by the clusters of the model as it is.

        Raises:
            ValueError: What is to be evaluated on is not what is held out.
        """
        if self.evaluated is not None:
            raise ValueError(
                "Learning by clusters can be evaluated on what is held out alone: when a round begins, others have no "
                "clusters. Give that data as eval_dataset when the trainer is made, or measure embeddings of it."
            )
        if self.targets.number < 0:
            self._begin_round(0)

    def _begin_round(self, number: int) -> None:
        """New clusters, targets and heads; every rank must call it."""
        args, core = self.args, self.accelerator.unwrap_model(self.model)
        if args.world_size > 1:
            for buffer in core.buffers():  # BatchNorm's: each rank has its own since the last forward
                torch.distributed.broadcast(buffer, 0)
        with torch.random.fork_rng(devices=[]):
            embed = Embedder(self._live_encoder(), self.modality.column, args.group_column, args.layer, args.pooling)
            place = (args.process_index, args.world_size)
            examples = TrainingPass(self._plan(), *place, args.max_clustered)
            found = make_targets(args, embed, examples, self._held_out_decoded(*place), number)
        self.targets.replace(number, *found)
        self._renew_heads(number)
        greatest = float(self.targets.use[1])
        logger.info("Round %d of %d: %d examples in clusters.", number + 1, args.num_rounds, len(self.targets.hashes))
        if greatest > args.collapse_max_cluster and args.process_index == 0:
            logger.warning(
                "Round %d begins with a cluster that holds %.0f%% of the examples (more than collapse_max_cluster="
                "%g): there is little to learn from such targets. Start from a pretrained model, give group_column, "
                "or lower the learning rate.",
                *(number + 1, 100 * greatest, args.collapse_max_cluster),
            )

    def _plan(self) -> ReaderPlan:
        if self._loader is None:  # evaluated before it was trained
            self.get_train_dataloader()
        assert self._loader is not None
        return self._loader.plan

    def _held_out_decoded(self, rank: int, world_size: int) -> Iterator[Example]:
        """A rank's held-out examples that can be read; none where nothing can be held out and nobody evaluates."""
        decode = self.make_decode()
        try:
            stream = self.held_out()
        except ValueError:
            if self.args.eval_strategy != "no":
                raise
            return iter(())
        share = share_of(iterate(stream), rank, world_size)
        return (example for raw in share if (example := decoded(raw, decode)) is not None)

    def _renew_heads(self, number: int) -> None:
        """They begin again, as clusters have other numbers in each round; the optimizer forgets them, too."""
        heads = self.auxiliary["heads"]
        assert isinstance(heads, nn.Linear)
        with seeded(self.args.seed + number):
            fresh = nn.Linear(heads.in_features, heads.out_features)
        heads.load_state_dict(fresh.state_dict())
        if self.optimizer is not None:
            for parameter in heads.parameters():
                self.optimizer.state.pop(parameter, None)

    # ---- One step ----

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Cross entropy to the clusters of all sizes, their mean; and how often each is told rightly."""
        args, num_items = self.args, batch["num_items"]
        ids_BS = self.targets(batch["hashes"])
        logits_BC = self.auxiliary["heads"](self._features(model, batch["inputs"])).float()
        losses, right = [], []
        for ids_B, logits in zip(ids_BS.T, logits_BC.split(args.cluster_sizes, dim=1), strict=True):
            losses.append(cross_entropy(logits, ids_B, reduction="none", label_smoothing=args.label_smoothing))
            right.append((logits.argmax(1) == ids_B).sum())
        losses_B, num_sizes = torch.stack(losses).mean(0), len(losses)
        perplexity, greatest, agreement = self.targets.use
        is_later = ~agreement.isnan()
        metrics: dict[str, Any] = {"accuracy": (torch.stack(right).sum(), num_items * num_sizes)}
        metrics |= {f"accuracy_{size}": (one, num_items) for size, one in zip(args.cluster_sizes, right, strict=True)}
        metrics |= {"cluster_perplexity": (perplexity, 1), "greatest_cluster": (greatest, 1)}
        metrics["cluster_nmi"] = (agreement.nan_to_num(), is_later)
        rows = torch.arange(len(losses_B), device=losses_B.device)
        return ObjectiveOutput({"clusters": Term(losses_B.sum(), num_items)}, len(losses_B), metrics, losses_B, rows)

    def _features(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, D), by the model as it is wrapped."""
        core = self.accelerator.unwrap_model(self.model)
        self._encoder.__dict__["model"] = model if model is core else _Called(core, model)
        try:
            with _nothing_hidden(core.config):
                return self._encoder.embed(batch, self.args.layer, self.args.pooling)
        finally:
            self._encoder.__dict__["model"] = core

    # ---- Collapse ----

    def collapse_signals(self) -> HealthyBand:
        """How evenly the clusters of a round are used."""
        return HealthyBand(
            {
                "cluster_perplexity": (self.args.collapse_min_perplexity, None),
                "greatest_cluster": (None, self.args.collapse_max_cluster),
            },
            advice="start from a pretrained model, give group_column, lower learning_rate",
        )


class _Called:
    """A model that is called as it is wrapped (DDP) and asked as it is."""

    def __init__(self, core: nn.Module, wrapped: nn.Module) -> None:
        self._core, self._wrapped = core, wrapped

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._wrapped(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)


# What speech models of transformers do in training on their own: they hide frames, and fail where a clip is shorter
# than a span; and they leave out layers, whose states would be missing here.
_LEFT_UNDONE = {"apply_spec_augment": False, "layerdrop": 0.0}


@contextlib.contextmanager
def _nothing_hidden(config: Any) -> Iterator[None]:
    before = {name: value for name, value in vars(config).items() if name in _LEFT_UNDONE}
    vars(config).update({name: _LEFT_UNDONE[name] for name in before})
    try:
        yield
    finally:
        vars(config).update(before)
