"""Gradient caching (GradCache; Gao et al. 2021, https://huggingface.co/papers/2101.06983): the gradients of one large
contrastive batch at the memory of a small one.

Legend: B pairs of this rank, D features.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hf_unlab.losses.chunks import precise_dtype
from hf_unlab.losses.contrastive import GatheredFeatures

Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]
Encode = Callable[[Any], Features]
Gather = Callable[[torch.Tensor, torch.Tensor], GatheredFeatures]


@dataclass(frozen=True)
class FeatureGradients:
    """A loss and its gradients.

    Args:
        loss_sum: (), this rank's loss, summed over its pairs, without a graph.
        query_BD: Gradient with respect to this rank's query features of the losses of all ranks together.
        key_BD: The same of the key features.
        logit_scale: (), this rank's share: the sum over the ranks is the gradient of the losses of all ranks together.
        logit_bias: (), the same of the bias; None if there is none.
    """

    loss_sum: torch.Tensor
    query_BD: torch.Tensor
    key_BD: torch.Tensor
    logit_scale: torch.Tensor
    logit_bias: torch.Tensor | None


def cached_feature_gradients(
    query_BD: torch.Tensor,
    key_BD: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None,
    loss_fn: Callable[..., torch.Tensor],
    gather: Gather | None = None,
) -> FeatureGradients:
    """The gradients of a whole step with respect to features that have no graph; the middle of `CachedBatch`.

    Args:
        query_BD: Features of all queries of this rank's step; a graph behind them is not followed.
        key_BD: Features of the keys; row i belongs to query i.
        logit_scale: (), inverse temperature, already exponentiated.
        logit_bias: () or None.
        loss_fn: `info_nce_loss`, `sigmoid_loss`, or one with `functools.partial(info_nce_loss, chunk_size=1024)`.
        gather: `gather_features`, which finds the features of all ranks; None to train on this rank's alone.

    Returns:
        The loss, and gradients in the types of what they are the gradients of.

    Example:
        >>> from hf_unlab.losses.contrastive import info_nce_loss
        >>> features_BD = torch.eye(2)
        >>> gradients = cached_feature_gradients(features_BD, features_BD, torch.tensor(1.0), None, info_nce_loss)
        >>> gradients.logit_scale, gradients.query_BD
        (tensor(-0.5379), tensor([[-0.2689,  0.2689],
                [ 0.2689, -0.2689]]))
    """
    inputs = [tensor for tensor in (query_BD, key_BD, logit_scale, logit_bias) if tensor is not None]
    # in float32 from here on: half-precision gradients would be rounded on every rank before they are summed
    leaves = [tensor.detach().to(precise_dtype(tensor)).requires_grad_() for tensor in inputs]
    query, key, scale, bias = leaves if logit_bias is not None else (*leaves, None)
    with torch.enable_grad():
        loss_sum = loss_fn(query, key, scale, bias, gathered=None if gather is None else gather(query, key))
    # InfoNCE does not read the bias: its gradient is zeros, not None, so that DDP finds it used
    gradients = torch.autograd.grad(loss_sum, leaves, materialize_grads=True)
    typed = [gradient.to(tensor.dtype) for gradient, tensor in zip(gradients, inputs, strict=True)]
    query, key, scale, bias = typed if logit_bias is not None else (*typed, None)
    return FeatureGradients(loss_sum.detach(), query, key, scale, bias)


class CachedBatch:
    """A contrastive batch in chunks, each encoded twice; its gradients are those of the whole batch, exactly.

    At first every chunk is encoded without a graph, and the loss of all features gives the gradients with respect to
    them. Then `next_loss` encodes a chunk again, now with a graph and the same random numbers (torch's, of the CPU and
    of the current accelerator), and goes back from its rows of those gradients.

    Args:
        encode: From a chunk to query features, key features, logit scale (exponentiated) and logit bias or
            None; the wrapped model's forward, so that DDP and autocast see it. No BatchNorm: chunks must not depend on
            one another.
        chunks: All chunks of this rank; as many on every rank.
        loss_fn: As in `cached_feature_gradients`.
        gather: As in `cached_feature_gradients`.

    Example:
        >>> from hf_unlab.losses.contrastive import info_nce_loss
        >>> towers, scale = torch.nn.Linear(2, 2), torch.tensor(10.0)
        >>> chunks = list(torch.randn(6, 2).split(2))
        >>> batch = CachedBatch(lambda chunk: (towers(chunk), chunk, scale, None), chunks, info_nce_loss)
        >>> for _ in chunks:
        ...     batch.next_loss().backward()
    """

    def __init__(
        self,
        encode: Encode,
        chunks: Sequence[Any],
        loss_fn: Callable[..., torch.Tensor],
        gather: Gather | None = None,
    ) -> None:
        self._encode, self._chunks, self._num_done = encode, chunks, 0
        self._random_states: list[_RandomState] = []
        queries, keys = [], []
        with torch.no_grad():
            for chunk in chunks:
                self._random_states.append(_RandomState())
                query_BD, key_BD, scale, bias = encode(chunk)
                queries.append(query_BD)
                keys.append(key_BD)
        self.features: Features = (torch.cat(queries), torch.cat(keys), scale, bias)
        self.gathered: GatheredFeatures | None = None

        def gather_and_keep(query_BD: torch.Tensor, key_BD: torch.Tensor) -> GatheredFeatures:
            assert gather is not None
            self.gathered = gather(query_BD, key_BD)
            return self.gathered

        self._gradients = cached_feature_gradients(*self.features, loss_fn, gather and gather_and_keep)
        self._sizes = [len(query_BD) for query_BD in queries]

    def next_loss(self) -> torch.Tensor:
        """What to go back from for the next chunk; all of them together are the loss of the whole batch.

        Returns:
            (). Its value is this rank's whole loss for the first chunk, and 0 for the others.

        Raises:
            IndexError: Every chunk has been done.
        """
        number, gradients = self._num_done, self._gradients
        with self._random_states[number].replayed():
            query_BD, key_BD, scale, bias = self._encode(self._chunks[number])
        begin = sum(self._sizes[:number])
        rows = slice(begin, begin + self._sizes[number])
        parts = [(query_BD * gradients.query_BD[rows]).sum(), (key_BD * gradients.key_BD[rows]).sum()]
        if number == len(self._chunks) - 1:  # theirs belong to the batch; DDP reduces with the last backward
            parts.append(scale * gradients.logit_scale)
            if bias is not None and gradients.logit_bias is not None:
                parts.append(bias * gradients.logit_bias)
        self._num_done += 1
        surrogate = torch.stack([part.to(gradients.loss_sum.dtype) for part in parts]).sum()
        return surrogate - surrogate.detach() + (gradients.loss_sum if number == 0 else 0)


class _RandomState:
    """torch's random numbers, on the CPU and the current accelerator, as they are about to be drawn."""

    def __init__(self) -> None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        self._device = torch.get_device_module(accelerator) if accelerator is not None else None
        self._state = torch.get_rng_state(), self._device and self._device.get_rng_state()

    @contextlib.contextmanager
    def replayed(self) -> Iterator[None]:
        """The same numbers within; afterwards those that were next before."""
        now = _RandomState()
        self._restore()
        try:
            yield
        finally:
            now._restore()

    def _restore(self) -> None:
        torch.set_rng_state(self._state[0])
        if self._device is not None:
            self._device.set_rng_state(self._state[1])
