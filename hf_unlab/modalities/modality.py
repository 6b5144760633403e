"""What the rest of the house knows of a modality: the faces of its data, its checkpoints and its cheap baselines.

In the names: B batch, T tokens or frames, D features, N examples, C classes.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from hf_unlab.modalities.pieces import Pieces
from hf_unlab.modalities.running import default_device, seeded
from hf_unlab.modalities.settings import DataSettings, FewLabelSettings
from hf_unlab.modalities.weights import Head, load_weights
from hf_unlab.streams.bad_examples import Check, Decode

Batch: TypeAlias = dict[str, torch.Tensor]
Layer: TypeAlias = int | str | None


class Encoder(ABC):
    """An ordinary checkpoint behind one face: from inputs to batches, to features, and to a classifier.

    An input is what the modality's `decode` makes of a cell: a text, an image, a waveform. What an encoder makes of
    one depends on nothing else in its batch.
    """

    poolings: ClassVar[tuple[str, ...]] = ("pooled",)  # the names that `embed` knows, the default first
    has_unit_norm = False  # whether features are brought to norm 1
    worth_tuning: ClassVar[bool] = False  # whether `auto` fits all weights too, if they are few
    checkpoint: str | Path | None = None  # a folder or a Hub id that its weights are read from; None: from neither

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """What embeds; loaded, or drawn from the seed, when it is first asked for, onto `default_device`."""

    @abstractmethod
    def collate(self, inputs: Sequence[Any]) -> Batch:
        """The tensors that the model reads, on the CPU, one row an input."""

    @abstractmethod
    def embed(self, batch: Batch, layer: Layer = None, pooling: str | None = None) -> torch.Tensor:
        """Features in float32, (B, D), of a batch that lies where the model does; see `evaluation.features`.

        Args:
            batch: As `collate` makes it.
            layer: Which hidden states, where the model has some; None: those that a linear probe reads best.
            pooling: How they become one vector, of `poolings`; None: the first.
        """

    def pooling_named(self, pooling: str | None) -> str:
        """A pooling that this encoder knows.

        Raises:
            ValueError: It does not know it.
        """
        if pooling is not None and pooling not in self.poolings:
            raise ValueError(f"pooling is {pooling!r}; this encoder knows: {', '.join(self.poolings)}.")
        return pooling or self.poolings[0]

    @abstractmethod
    def fresh(self, seed: int) -> "Encoder":
        """The same with a model of its own to train: its weights loaded anew, or drawn from another seed."""

    def pieces(self, inputs: Sequence[Any]) -> Pieces:
        """What of each input goes through the model at a time: here the whole of it; of long texts windows."""
        return Pieces(list(inputs), np.arange(len(inputs)), np.ones(len(inputs)))

    @abstractmethod
    def classifier(self, num_classes: int, seed: int) -> nn.Module:
        """A fresh classifier on these weights, its head (and random weights) drawn from the seed.

        It is the library's own class where there is one, so that it is saved as such; `forward(**batch).logits` is
        (B, num_classes). torch's generator stays as it is, and the classifier is put on `default_device`.
        """

    def narrowed(self, classifier: nn.Module, inputs: Sequence[Any]) -> AbstractContextManager[None]:
        """Within, a classifier may hold only the weights that these inputs touch; afterwards it is whole."""
        return nullcontext()

    normalises_by_group = False  # whether `by_group` changes anything

    def by_group(self, inputs: Sequence[Any], groups: Sequence[str]) -> Sequence[Any]:
        """N inputs normalised within each of N groups, as speakers, where the model was pretrained on such ones."""
        return inputs

    reads_names = False  # whether there are `class_features`

    def class_features(self, names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
        """Features (C, D) of classes by their names, to be matched with `embed(batch, "projection")`.

        Args:
            names: C names.
            templates: Prompts with {} where the name goes.

        Raises:
            ValueError: The encoder cannot tell a class by its name.
        """
        raise ValueError(f"{type(self).__name__} reads no names of classes; ask an encoder of images and texts.")

    def sizes(self, inputs: Sequence[Any]) -> np.ndarray:
        """How long each input is once it is padded by itself, (N,); 0: there is nothing in it to read."""
        return np.ones(len(inputs), dtype=np.int64)

    def batch_length(self, size: int) -> int:
        """How many inputs of one size go into a batch."""
        return 64

    has_equal_sizes = False  # whether a batch may hold inputs of one size only

    def batches(self, inputs: Sequence[Any]) -> Iterator[tuple[np.ndarray, Batch]]:
        """Batches of inputs of like size, the longest first; inputs of size 0 are in none.

        Args:
            inputs: N of them.

        Yields:
            Indices of the inputs, (B,), and their batch.
        """
        sizes = self.sizes(inputs)
        order = np.argsort(-sizes, kind="stable")
        order, start = order[sizes[order] > 0], 0
        while start < len(order):
            longest = int(sizes[order[start]])
            indices = order[start : start + self.batch_length(longest)]
            if self.has_equal_sizes:
                indices = indices[sizes[indices] == longest]
            yield indices, self.collate([inputs[int(i)] for i in indices])
            start += len(indices)

    @property
    def lora_modules(self) -> list[str]:
        """Names of the encoder's linear maps, peft's `target_modules`; of its convolutions where there are none.

        torch's own attention is named as a whole: it reads the weights of its `out_proj` and never calls it, so that
        what is put there would change nothing.
        """
        own, kinds = set(self.tower.modules()), nn.Linear | nn.Conv2d | nn.MultiheadAttention
        found = [(name, part) for name, part in self.model.named_modules() if part in own and isinstance(part, kinds)]
        attention = tuple(f"{name}." for name, part in found if isinstance(part, nn.MultiheadAttention))
        linear = [name for name, part in found if not isinstance(part, nn.Conv2d) and not name.startswith(attention)]
        return linear or [name for name, _ in found]

    @property
    def tower(self) -> nn.Module:
        """The part of the model that reads inputs of this modality."""
        return self.model


@dataclass(eq=False, repr=False)
class TransformersEncoder(Encoder):
    """A checkpoint of transformers.

    Args:
        config: The architecture; it is copied, not changed.
        processor: What is saved beside the weights: a tokenizer, a feature extractor, an image processor.
        checkpoint: A folder or a Hub id with weights, which are read in float32. None: they are random.
        seed: Draws random weights of `model`.
    """

    auto_class: ClassVar[Any]  # of classifiers
    reads_pooler: ClassVar[bool] = False  # whether `embed` reads it, so that a new one would be features of chance
    config: Any
    processor: Any
    checkpoint: str | Path | None = None
    seed: int = field(default=0, kw_only=True)

    @classmethod
    def of_model(cls, model: nn.Module, processor: Any) -> Self:
        """The encoder that a model of transformers has within it, as it is now.

        Args:
            model: Unwrapped, with any head.
            processor: As above.
        """
        encoder = cls(model.config, processor)
        encoder.__dict__["model"] = model.base_model
        return encoder

    @cached_property
    def model(self) -> nn.Module:
        """As `AutoModel` loads it; see `load_weights` for what a checkpoint lacks."""
        return self._make(AutoModel, self.config, self.seed, "needed" if self.reads_pooler else "fresh")

    def fresh(self, seed: int) -> "TransformersEncoder":
        """As `Encoder.fresh`; in training it behaves as a classifier does, without what pretraining hides."""
        other = copy.copy(self)
        other.__dict__.pop("model", None)
        other.config, other.seed = self._for_classifier(copy.deepcopy(self.config)), seed
        return other

    def classifier(self, num_classes: int, seed: int) -> nn.Module:
        """As `auto_class` loads it; without its head that of the checkpoint."""
        config = copy.deepcopy(self.config)
        config.num_labels = num_classes
        return self._make(self.auto_class, self._for_classifier(config), seed, "fresh")

    def _make(self, auto_class: Any, config: Any, seed: int, head: Head) -> nn.Module:
        with seeded(seed):
            if self.checkpoint is None:
                model = auto_class.from_config(config, dtype=torch.float32)
            else:
                model = load_weights(auto_class, self.checkpoint, head=head, config=config)
            return model.to(default_device())

    def _for_classifier(self, config: Any) -> Any:
        """What the configuration of a classifier needs beside the number of classes."""
        return config

    def _states(self, batch: Batch, layer: Layer) -> list[torch.Tensor]:
        """Hidden states (B, T, D): 0 is what enters the first layer, -1 the model's output; None or "all": each."""
        num_states = self.config.num_hidden_layers + 1
        if isinstance(layer, str) and layer != "all":
            raise ValueError(f'layer is {layer!r}; give a whole number or "all".')
        if isinstance(layer, int) and not -num_states <= layer < num_states:
            raise ValueError(f"layer is {layer}; this model has hidden states 0 to {num_states - 1} (-1: the last).")
        outputs = self.model(**batch, output_hidden_states=layer != -1, return_dict=True)
        if layer == -1:
            return [outputs.last_hidden_state.float()]
        # Some models apply their final norm to last_hidden_state only: take the last layer from there always.
        states = [state.float() for state in (*outputs.hidden_states[:-1], outputs.last_hidden_state)]
        return [states[layer]] if isinstance(layer, int) else states


@dataclass(frozen=True)
class Baseline:
    """Cheap features that pretraining has to beat, and how a logistic regression reads them.

    Args:
        name: First column of the table.
        make_transformer: Makes a transformer of scikit-learn, from N inputs to (N, D); it is given no label.
        fitted_on: Which inputs it is fitted on; "pool and test" transforms the two as one.
        standardised: Whether features are brought to mean 0 and variance 1 on the pool.
        inverse_regularisation: scikit-learn's C.
        is_by_group: Whether its features are brought to mean 0 and variance 1 within each group, too.
        stands_beside: Whether its features, of norm 1, may stand beside an encoder's.
    """

    name: str
    make_transformer: Callable[[], Any]
    fitted_on: Literal["pool", "pool and test"] = "pool"
    standardised: bool = True
    inverse_regularisation: float = 0.1
    is_by_group: bool = False
    stands_beside: bool = False


def always(value: Any) -> Callable[..., Any]:
    """A function that gives one value, whatever it is asked."""
    return lambda *_: value


@dataclass(frozen=True)
class Modality:
    """All that is particular to texts, images, recordings, ...: the value `MODALITY` of its package.

    Args:
        name: As in the table of `hf_unlab.modalities`.
        noun: What its examples are called, in the plural.
        column: The raw column that is embedded and classified.
        raw_columns: The columns that objectives read.
        check: Why a raw example is bad, or None.
        load_encoder: From a checkpoint (a folder or a Hub id), and by keyword `random_weights` (the same architecture,
            drawn from `seed`) and `settings` (few-label settings), to its encoder. Only what stands beside the
            weights is read at once.
        live_encoder: From a model in training, unwrapped, and its processor to an encoder that shares its weights.
        make_decode: From few-label settings and perhaps an encoder to what makes an input of a cell; None: it is one.
        make_baselines: From an encoder and the groups of pool and test, one after the other or empty, to baselines.
        data_settings: What a recipe is told of raw data.
        few_label_settings: What it is told of labelled data.
        file_columns: Of its raw columns those that may hold the path or URL of a file.
        perturbations: What may befall an input and leave its class: from it and a generator to another, by name.
    """

    name: str
    noun: str
    column: str
    raw_columns: tuple[str, ...]
    check: Check | None
    load_encoder: Callable[..., Encoder]
    live_encoder: Callable[[nn.Module, Any], Encoder]
    make_decode: Callable[[Any, Any], Decode | None]
    make_baselines: Callable[[Any, Sequence[str]], tuple[Baseline, ...]]
    data_settings: type[DataSettings]
    few_label_settings: type[FewLabelSettings]
    file_columns: tuple[str, ...] = ()
    perturbations: Mapping[str, Callable[[Any, np.random.Generator], Any]] = field(default_factory=dict)
