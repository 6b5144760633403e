"""Features of some labelled test examples, kept beside a checkpoint for a map of them.

In the names: N examples, D features.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hf_unlab.evaluation.embedding_files import Embeddings, read_embeddings, write_embeddings
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.streams.messages import one_line

logger = logging.getLogger(__name__)
FEATURES_NAME = "_few_label_features.parquet"  # with an underscore, so that it is never published
MOST = 500


def keep_features(
    folder: Path, features_of_test: Callable[[], np.ndarray], test: LabelledData, task: str, checkpoint_hash: str
) -> None:
    """Keep features of up to 500 test examples with their classes; where that fails, a warning says so.

    Args:
        folder: Of the run.
        features_of_test: Gives the features of the test examples, (N, D).
        test: Those N examples.
        task: What they are from.
        checkpoint_hash: Of the weights that the features are of.
    """
    try:
        at = np.sort(np.random.default_rng(0).permutation(len(test))[:MOST])
        labels = [test.label_names[int(label)] for label in test.labels[at]]
        known = {"task": task, "checkpoint_hash": checkpoint_hash, "num_test": len(test)}
        features_ND = np.asarray(features_of_test(), dtype=np.float32)[at]
        write_embeddings(Embeddings(features_ND, {"label": labels}, known), folder / FEATURES_NAME)
    except (OSError, ValueError) as error:
        logger.warning("Features of test examples, for a map of them, cannot be kept: %s", one_line(error))


def kept_features(folder: Path, checkpoint_hash: str) -> Embeddings | None:
    """What `keep_features` wrote; None where there is nothing, or what there is is of other weights.

    Args:
        folder: Of the run.
        checkpoint_hash: Of its weights.

    Raises:
        ValueError: The file is damaged.

    Example:
        >>> import tempfile
        >>> folder, test = Path(tempfile.mkdtemp()), LabelledData(["a", "b"], np.array([1, 0]), ("no", "yes"))
        >>> keep_features(folder, lambda: np.eye(2), test, "reviews", "abc")
        >>> kept_features(folder, "abc").values("label"), kept_features(folder, "of others")
        (['yes', 'no'], None)
    """
    path = folder / FEATURES_NAME
    if not path.is_file():
        return None
    found = read_embeddings(path)
    return found if found.metadata.get("checkpoint_hash") == checkpoint_hash else None
