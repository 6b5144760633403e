"""From inputs to features: what an encoder, or a cheap baseline, makes of each.

In the names: N inputs, P pieces of them, D features.
"""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from queue import Full, Queue
from typing import Any, TypeVar

import numpy as np
import torch

from hf_unlab.modalities.modality import Baseline, Batch, Encoder, Layer
from hf_unlab.modalities.running import device_of, evaluating

T = TypeVar("T")


def features_of(
    encoder: Encoder, inputs: Sequence[Any], layer: Layer = None, pooling: str | None = None
) -> np.ndarray:
    """Features of inputs, a batch at a time, where the encoder's model lies; the model is left as it was found.

    An input's features depend neither on the other inputs nor on their order, up to rounding. What is longer than the
    model reads at a time is read in pieces, whose features are averaged.

    Args:
        encoder: From `Modality.load_encoder`.
        inputs: N inputs, as the modality's `decode` makes them.
        layer: As in `Encoder.embed`.
        pooling: As in `Encoder.embed`.

    Returns:
        (N, D), float32; zeros for an input in which there is nothing to read.

    Raises:
        ValueError: There is no input, or nothing to read in any.

    Example:
        >>> encoder = get_modality("text").load_encoder("out/checkpoint")  # doctest: +SKIP
        >>> features_of(encoder, ["one text", "another"]).shape  # doctest: +SKIP
        (2, 384)
    """
    rows_ND = over_batches(encoder, None, lambda batch: encoder.embed(batch, layer, pooling), inputs)
    return to_own_norm(encoder, rows_ND)


def to_own_norm(encoder: Encoder, rows_ND: np.ndarray) -> np.ndarray:
    """Rows (N, D) of norm 1, in place, where the encoder's are: a mean of pieces has a smaller one."""
    if encoder.has_unit_norm:
        rows_ND /= np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-12)
    return rows_ND


def over_batches(
    encoder: Encoder, model: torch.nn.Module | None, rows_of: Callable[[Batch], torch.Tensor], inputs: Sequence[Any]
) -> np.ndarray:
    """What a model, by default the encoder's, makes of each input, (N, ...), in the order of the inputs.

    Args:
        encoder: Makes the batches.
        model: Is in eval mode meanwhile.
        rows_of: From a batch to (B, ...).
        inputs: N inputs.
    """
    model = encoder.model if model is None else model
    pieces = encoder.pieces(inputs)
    rows, device = RowsOfPieces(len(inputs), pieces.owner_P, pieces.weight_P), device_of(model)
    with evaluating(model), torch.inference_mode():
        for indices, batch in ahead(encoder.batches(pieces.inputs), device):
            rows.add(indices, rows_of_batch(rows_of, batch, device))
    return rows.whole()


def rows_of_batch(rows_of: Callable[[Batch], torch.Tensor], batch: Batch, device: torch.device) -> np.ndarray:
    """What a model makes of a batch on its device, (B, ...), float32."""
    return rows_of({name: tensor.to(device) for name, tensor in batch.items()}).float().cpu().numpy()


class RowsOfPieces:
    """One row an input, (N, ...), from the rows of its pieces, in whatever order these come.

    Args:
        num_inputs: N.
        owner_P: As in `Pieces`.
        weight_P: As in `Pieces`.

    Example:
        >>> rows = RowsOfPieces(2, np.array([0, 0, 1]), np.array([0.5, 0.5, 1.0]))
        >>> rows.add(np.array([2, 0]), np.array([[7.0], [1.0]]))
        >>> rows.add(np.array([1]), np.array([[3.0]]))
        >>> rows.whole().tolist()
        [[2.0], [7.0]]
    """

    def __init__(self, num_inputs: int, owner_P: np.ndarray, weight_P: np.ndarray) -> None:
        self._num_inputs, self._owner_P, self._weight_P = num_inputs, owner_P, weight_P
        self._rows_N: np.ndarray | None = None

    def add(self, indices: np.ndarray, rows_B: np.ndarray) -> None:
        """Rows (B, ...) of the pieces of these indices."""
        if self._rows_N is None:
            self._rows_N = np.zeros((self._num_inputs, *rows_B.shape[1:]), dtype=np.float32)
        if len(self._owner_P) == self._num_inputs:  # each is whole
            self._rows_N[indices] = rows_B
        else:
            share_B = self._weight_P[indices].astype(np.float32).reshape(-1, *[1] * (rows_B.ndim - 1))
            np.add.at(self._rows_N, self._owner_P[indices], share_B * rows_B)

    def whole(self) -> np.ndarray:
        """All rows; zeros for an input of which no piece came.

        Raises:
            ValueError: None came of any.
        """
        if self._rows_N is None:
            raise ValueError(f"There is nothing to read in {self._num_inputs} inputs; give some that hold something.")
        return self._rows_N


def ahead(items: Iterator[T], device: torch.device, num_ahead: int = 2) -> Generator[T]:
    """The same items, made by a thread a few at a time before they are asked for: data is read while a model computes.

    On a CPU they are made when they are asked for, as a thread would take what the model computes with: on two cores
    embedding took 5 to 10% longer with one.

    Args:
        items: Is run in the thread; what it raises is raised here.
        device: Where the model computes.
        num_ahead: Items that may wait.

    Example:
        >>> list(ahead(iter("abc"), torch.device("cpu")))
        ['a', 'b', 'c']
    """
    if device.type == "cpu":
        yield from items
        return
    waiting: Queue[tuple[bool, Any]] = Queue(num_ahead)
    stopped = threading.Event()

    def put(is_item: bool, value: Any) -> None:
        is_put = False
        while not is_put and not stopped.is_set():
            with contextlib.suppress(Full):
                waiting.put((is_item, value), timeout=0.1)
                is_put = True

    def run() -> None:
        try:
            for item in items:
                put(True, item)
                if stopped.is_set():
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = waiting.get()
            if not is_item:
                if value is not None:
                    raise value
                return
            yield value
    finally:
        stopped.set()
        thread.join()


def baseline_features(baseline: Baseline, pool: Sequence[Any], test: Sequence[Any]) -> tuple[Any, Any]:
    """A baseline's features of the pool and of the test set, (N, D) and (num_test, D), dense or sparse.

    Args:
        baseline: One of a modality's.
        pool: N inputs.
        test: Inputs to score.

    Raises:
        ValueError: It can make nothing of the inputs.

    Example:
        >>> from hf_unlab.modalities.text.baseline import TF_IDF
        >>> pool_ND, test_ND = baseline_features(TF_IDF, ["good film", "bad film"], ["so bad"])
        >>> test_ND.toarray().round(2).tolist()
        [[1.0, 0.0, 0.0]]
    """
    transformer, num_pool = baseline.make_transformer(), len(pool)
    try:
        if baseline.fitted_on == "pool":
            return transformer.fit_transform(pool), transformer.transform(test)
        features_ND = transformer.fit_transform([*pool, *test])
    except ValueError as error:
        raise ValueError(
            f"{baseline.name} can make nothing of {num_pool} inputs of the pool and {len(test)} of the test set: "
            f"{error}. Check that the right column was read."
        ) from error
    return features_ND[:num_pool], features_ND[num_pool:]


def standardised_by_group(features_ND: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Each feature to mean 0 and deviation 1 within each group, such as a speaker: no label is needed for it.

    Args:
        features_ND: (N, D).
        groups: One name an example, (N,).

    Returns:
        (N, D) float32; a group of one example becomes zeros.

    Raises:
        ValueError: There are not as many groups as rows.

    Example:
        >>> standardised_by_group(np.array([[1.0], [3.0], [10.0], [30.0]]), "aabb").ravel().tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    if len(groups) != len(features_ND):
        raise ValueError(f"There are {len(groups)} groups for {len(features_ND)} rows; give one a row.")
    result_ND = np.asarray(features_ND, dtype=np.float32).copy()
    names = np.asarray(list(groups))
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        part_MD = result_ND[rows].astype(np.float64)
        result_ND[rows] = (part_MD - part_MD.mean(0)) / deviations(part_MD)
    return result_ND


LEAST_DEVIATION = 0.01  # of the features' root mean square: what varies less is rounding, not worth blowing up


def deviations(features_ND: np.ndarray, chunk_size: int = 8192) -> np.ndarray:
    """Standard deviations to divide by, (D,): features that are nearly constant are not blown up to size 1.

    The floor is a hundredth of the root mean square of all deviations.

    Args:
        features_ND: (N, D); read in chunks, so that no copy of it is made in double precision.
        chunk_size: Rows of a chunk.

    Example:
        >>> deviations(np.array([[0.0, 1.0], [2.0, 1.0]])).round(4).tolist()
        [1.0, 0.0071]
    """
    mean_D = mean_of(features_ND, chunk_size)
    squares_D = np.zeros(features_ND.shape[1])
    for start in range(0, len(features_ND), chunk_size):
        squares_D += np.square(features_ND[start : start + chunk_size] - mean_D).sum(0)
    deviation_D = np.sqrt(squares_D / len(features_ND))
    floor = LEAST_DEVIATION * float(np.sqrt(np.square(deviation_D).mean()))
    return np.maximum(deviation_D, floor) if floor > 0 else np.ones_like(deviation_D)


def mean_of(features_ND: np.ndarray, chunk_size: int = 8192) -> np.ndarray:
    """Means in double precision, (D,), a chunk of rows at a time.

    Example:
        >>> mean_of(np.array([[1.0], [2.0]], dtype=np.float32)).tolist()
        [1.5]
    """
    total_D = np.zeros(features_ND.shape[1])
    for start in range(0, len(features_ND), chunk_size):
        total_D += features_ND[start : start + chunk_size].sum(0, dtype=np.float64)
    return total_D / len(features_ND)
