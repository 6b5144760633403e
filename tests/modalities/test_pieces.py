"""Windows: in order, of like length, and shares of their input."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.modalities.pieces import cut_evenly


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 12))
def test_inputs_come_back_in_as_few_windows_as_will_do(lengths, longest):
    inputs = [list(range(length)) for length in lengths]
    pieces = cut_evenly(inputs, longest)
    for owner, each in enumerate(inputs):
        own = [pieces.inputs[i] for i in np.flatnonzero(pieces.owner_P == owner)]
        assert len(own) == max(1, -(-len(each) // longest))
        assert [value for part in own for value in part.tolist()] == each
        sizes = [len(part) for part in own]
        assert max(sizes) <= longest and max(sizes) - min(sizes) <= 1
        weights = pieces.weight_P[pieces.owner_P == owner]
        np.testing.assert_allclose(weights, np.array(sizes) / len(each) if each else [1.0])
    assert (np.diff(pieces.owner_P) >= 0).all()
