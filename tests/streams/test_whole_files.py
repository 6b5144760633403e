"""A file is there whole or not at all."""

import pytest

from hf_unlab.streams.whole_files import written_whole


def cut_short(path):
    with written_whole(path) as scratch:
        scratch.write_text("half of the n")
        raise KeyboardInterrupt


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a" / "table.json"
    with written_whole(path) as scratch:
        scratch.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        cut_short(path)
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    with written_whole(path) as scratch:
        scratch.write_text("new")
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_what_was_never_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "x"):
        pass
    assert not list(tmp_path.iterdir())
