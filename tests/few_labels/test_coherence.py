"""Whether a view's classes lie apart: what is said of good and of poor ones, dense and sparse."""

import numpy as np
from scipy.sparse import csr_matrix

from hf_unlab.few_labels.coherence import LEAST_UNLABELLED, coherences
from hf_unlab.few_labels.pool import PoolOfViews
from hf_unlab.few_labels.views import CheapView
from hf_unlab.modalities.modality import Baseline

RNG = np.random.default_rng(0)
LABELS = np.arange(240) % 3


def apart(noise: float) -> np.ndarray:
    return 4 * np.eye(3)[LABELS] + noise * RNG.normal(size=(240, 3))


def test_the_better_its_classes_lie_apart_the_more_coherent_a_view_is() -> None:
    known = np.array([0, 1, 2])
    views = [apart(0.3), apart(1.5), RNG.normal(size=(240, 3)), csr_matrix(np.abs(apart(0.3)))]
    good, middling, noise, sparse = coherences(views, known, LABELS[known], 3, [1.0] * 4)
    assert 1 >= good > middling > noise >= 0 and sparse > middling
    assert coherences([view[: LEAST_UNLABELLED + 2] for view in views[:2]], known, LABELS[known], 3, [1.0] * 2) is None


def test_with_one_label_a_class_the_more_coherent_view_has_more_to_say() -> None:
    parts = {"poor": RNG.normal(size=(240, 3)), "good": apart(0.5)}

    class Lookup:
        def __init__(self, part):
            self.part = part

        def fit(self, inputs):
            return self

        def transform(self, inputs):
            return self.part[np.array(inputs)]

    views = [CheapView(name, 1.0, 1.0, Baseline(name, lambda p=part: Lookup(p))) for name, part in parts.items()]
    pool = PoolOfViews(views, list(range(240)), ())
    known = np.array([0, 1, 2])
    weights = pool.fit(known, LABELS[known], 3).weights_V
    assert weights[1] > 5 * weights[0]
    few = PoolOfViews(views, list(range(20)), ())  # too little to ask
    np.testing.assert_allclose(few.fit(known, LABELS[known], 3).weights_V, [0.5, 0.5])
