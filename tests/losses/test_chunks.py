"""Chunks of columns: all of them in order, in a precise type, and computed again in backward."""

import pytest
import torch

from hf_unlab.losses.chunks import column_chunks, precise_dtype, run_chunk, similarities


@pytest.mark.parametrize("chunk_size, starts", [(None, [0]), (2, [0, 2, 4]), (5, [0]), (9, [0])])
def test_chunks_are_the_columns_in_order(chunk_size, starts):
    column_ND = torch.randn(5, 3)
    chunks = column_chunks(column_ND, chunk_size)
    assert [start for start, _ in chunks] == starts
    assert torch.equal(torch.cat([chunk for _, chunk in chunks]), column_ND)


def test_similarities_are_not_rounded_by_autocast():
    row, column = torch.tensor([[1.0, 1e-3]]), torch.tensor([[1.0, 1e-3]])
    with torch.autocast("cpu", torch.bfloat16):
        found = similarities(row, column, 100.0)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(100.0001, abs=1e-5)


@pytest.mark.parametrize(
    "given, precise", [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_the_precise_type_is_float32_or_more(given, precise):
    assert precise_dtype(torch.zeros(1, dtype=getattr(torch, given))) == getattr(torch, precise)


@pytest.mark.parametrize("chunk_size, calls", [(None, 1), (3, 2)])
def test_what_is_inside_is_computed_again_only_where_there_are_chunks(chunk_size, calls):
    seen = []

    def double(tensor, factor, nothing):
        seen.append(nothing)
        return (tensor * factor).sin()

    tensor = torch.tensor(0.5, requires_grad=True)
    run_chunk(double, chunk_size, tensor, 2.0, None).backward()
    assert len(seen) == calls
    assert tensor.grad.item() == pytest.approx(2 * torch.tensor(1.0).cos().item())
