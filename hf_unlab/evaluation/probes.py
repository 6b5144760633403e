"""From an encoder to embeddings, and from embeddings to classes.

In the names: N examples, M of them with a label, D features.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hf_unlab.modalities.modality import Baseline, Batch, Encoder, Layer, device_of, evaluating

MAX_ITERATIONS = 1_000


def embed(encoder: Encoder, inputs: Sequence[Any], layer: Layer = None) -> np.ndarray:
    """Features of inputs, a batch at a time, where the encoder's model lies; the model is left as it was found.

    An input's features depend neither on the other inputs nor on their order, up to rounding.

    Args:
        encoder: From `Modality.load_encoder`.
        inputs: N inputs, as the modality's `decode` makes them.
        layer: As in `Encoder.embed`.

    Returns:
        (N, D), float32; zeros for an input in which there is nothing to read.

    Raises:
        ValueError: There is no input, or nothing to read in any.

    Example:
        >>> encoder = get_modality("text").load_encoder("out/checkpoint")  # doctest: +SKIP
        >>> embed(encoder, ["one text", "another"]).shape  # doctest: +SKIP
        (2, 384)
    """
    return over_batches(encoder, None, lambda batch: encoder.embed(batch, layer), inputs)


def over_batches(
    encoder: Encoder, model: torch.nn.Module | None, rows_of: Callable[[Batch], torch.Tensor], inputs: Sequence[Any]
) -> np.ndarray:
    """What a model, by default the encoder's, makes of each input, (N, ...), in the order of the inputs."""
    model = encoder.model if model is None else model
    rows_N, device = None, device_of(model)
    with evaluating(model), torch.inference_mode():
        for indices, batch in encoder.batches(inputs):
            rows_B = rows_of({name: tensor.to(device) for name, tensor in batch.items()}).float().cpu().numpy()
            if rows_N is None:
                rows_N = np.zeros((len(inputs), *rows_B.shape[1:]), dtype=np.float32)
            rows_N[indices] = rows_B
    if rows_N is None:
        raise ValueError(f"There is nothing to read in {len(inputs)} inputs; give some that hold something.")
    return rows_N


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


def linear_probe(
    name: str,
    pool_features: Any,
    pool_labels: np.ndarray,
    test_features: Any,
    *,
    standardised: bool = True,
    inverse_regularisation: float = 0.1,
) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic regression on frozen features.

    Mean and variance come from the whole pool, which needs no labels. Deterministic.

    Args:
        name: What the features are of, for messages.
        pool_features: (N, D), finite, dense or sparse.
        pool_labels: Class indices, (N,).
        test_features: (num_test, D), as those of the pool.
        standardised: Bring features to mean 0 and variance 1 first; not for sparse ones.
        inverse_regularisation: scikit-learn's C, chosen once: on 128 LSA features of IMDb (mean of 5 draws at 5 / 10 /
            50 / 250 labels a class) 0.1 scored .549 / .608 / .729 / .818, 1 scored .547 / .610 / .720 / .811, and
            standardising on the draw alone .545 / .603 / .729 / .818 with 0.1.

    Returns:
        From indices of the pool (M,), whose labels alone are used, to classes of the test set, (num_test,).

    Raises:
        ValueError: Shapes do not fit together, or a feature is NaN or infinite.

    Example:
        >>> features = np.array([[0.0], [0.1], [1.0], [1.1]])
        >>> probe = linear_probe("toy", features, np.array([0, 0, 1, 1]), np.array([[0.05], [1.05]]))
        >>> probe(np.array([0, 2])).tolist()
        [0, 1]
    """
    pool_ND, test_ND = _checked(name, "pool", pool_features), _checked(name, "test", test_features)
    pool_labels = np.asarray(pool_labels)
    if pool_labels.shape != (pool_ND.shape[0],):
        raise ValueError(
            f"{name}: labels have shape {pool_labels.shape} for {pool_ND.shape[0]} pool examples; give one label an "
            "example."
        )
    if pool_ND.shape[1] != test_ND.shape[1]:
        raise ValueError(
            f"{name}: the pool has {pool_ND.shape[1]} features an example and the test set {test_ND.shape[1]}. "
            "Extract both with the same model and the same layer."
        )
    if standardised:
        scaler = StandardScaler().fit(pool_ND)
        pool_ND, test_ND = scaler.transform(pool_ND), scaler.transform(test_ND)
    return lambda indices: _fit_predict(pool_ND[indices], pool_labels[indices], test_ND, inverse_regularisation)


def _fit_predict(train_MD: Any, labels_M: np.ndarray, test_ND: Any, inverse_regularisation: float) -> np.ndarray:
    """Trains on dense or sparse rows and predicts; a fit stopped early is as good a probe, so it is not news."""
    classes = np.unique(labels_M)
    if len(classes) == 1:  # scikit-learn refuses one class; there is only one answer to give
        return np.full(test_ND.shape[0], classes[0])
    if isinstance(train_MD, np.ndarray) and len(train_MD) < train_MD.shape[1]:
        # The weights lie in the span of the rows: turned into its coordinates, the fit is the same and cheaper.
        _, _, axes_MD = np.linalg.svd(train_MD, full_matrices=False)
        train_MD, test_ND = train_MD @ axes_MD.T, test_ND @ axes_MD.T
    model = LogisticRegression(C=inverse_regularisation, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_MD, labels_M)
    return np.asarray(model.predict(test_ND))


def _checked(name: str, part: str, features: Any) -> Any:
    if issparse(features):  # counts, which are finite
        return features
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[0] == 0 or features.shape[1] == 0:
        raise ValueError(f"{name}: {part} features have shape {features.shape}; give (examples, features), not empty.")
    num_bad = int((~np.isfinite(features)).any(axis=1).sum())
    if num_bad:
        raise ValueError(
            f"{name}: {num_bad} of {len(features)} {part} examples have NaN or infinite features. The model has "
            "probably diverged or overflowed in half precision: look at its training loss, or extract "
            "features in float32."
        )
    return features
