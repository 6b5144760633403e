"""A corpus is made once, by whichever process comes first, whole or not at all."""

import pytest

from hf_unlab.corpora import cache as corpus_cache
from hf_unlab.corpora.cache import made_once


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, where corpora will lie."""
    monkeypatch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path))
    return tmp_path / "hf_unlab"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def make(folder):
    (folder / "train.parquet").write_bytes(b"whole")


def test_it_is_made_once_and_under_another_name_anew(cache):
    folder = made_once("corpus-1", make)
    assert folder == cache / "corpus-1" and names_in(folder) == ["train.parquet"]
    assert made_once("corpus-1", lambda folder: pytest.fail("made again")) == folder
    made_once("corpus-2", make)
    assert names_in(cache) == ["corpus-1", "corpus-2"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), ValueError("no such font")])
def test_a_making_that_breaks_off_leaves_nothing_behind(cache, error):
    def make_half(folder):
        make(folder)
        raise error

    with pytest.raises(type(error)):
        made_once("corpus", make_half)
    assert names_in(cache) == []
    assert names_in(made_once("corpus", make)) == ["train.parquet"]


def test_the_folder_of_a_quicker_process_stays(cache):
    def make_after_another(folder):
        (made_once("corpus", make) / "mark").touch()
        make(folder)

    assert names_in(made_once("corpus", make_after_another)) == ["mark", "train.parquet"]
    assert names_in(cache) == ["corpus"]


def test_a_cache_that_cannot_be_written_is_an_error(cache):
    cache.write_text("a file stands where the folder should")
    with pytest.raises(OSError, match="hf_unlab"):
        made_once("corpus", make)
