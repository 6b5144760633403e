"""Zstandard files are read to the end of their last frame, and one that is cut short is an error."""

import gc

import pytest

from hf_unlab.streams.sources import Source, iterate, open_stream

zstandard = pytest.importorskip("zstandard")


@pytest.mark.parametrize("name", ["a.txt.zst", "a.jsonl.zst"])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_every_frame_is_read_and_a_cut_one_is_named(tmp_path, name, num_frames):
    lines = [f'{{"text": "line {n}"}}\n'.encode() for n in range(3000)]
    parts = [b"".join(lines[k::num_frames]) for k in range(num_frames)]
    packed = b"".join(zstandard.compress(part) for part in parts)
    path = tmp_path / name
    path.write_bytes(packed)
    assert sum(1 for _ in iterate(open_stream(Source(str(path)), ["text"]))) == 3000
    path.write_bytes(packed[:-20])
    with pytest.raises(ValueError, match=r"a\.(txt|jsonl)\.zst.*: Compressed file ended before the end of a frame"):
        list(iterate(open_stream(Source(str(path)), ["text"])))
    gc.collect()
