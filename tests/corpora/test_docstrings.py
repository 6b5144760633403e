"""The built-in corpus: disjoint splits without the answers in them, made once for each set of versions."""

import hashlib
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hf_unlab.corpora import cache as corpus_cache
from hf_unlab.corpora import docstrings
from hf_unlab.modalities.text.reading import tokenise_texts
from hf_unlab.streams.content import content_hash
from hf_unlab.streams.sources import Source, open_stream
from hf_unlab.testing import tiny_tokenizer

SPLITS = {"train", "labelled_train", "labelled_test"}
ROWS = [(f"This docstring is number {i} and speaks of numpy and NumPy's arrays.", "numpy") for i in range(900)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a gathering that takes no time."""
    monkeypatch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(docstrings, "_gather", lambda: ROWS)
    return tmp_path


def folders_in(cache):
    return sorted(path.name for path in (cache / "hf_unlab").iterdir())


def test_the_corpus_is_made_once_and_then_read_from_the_cache(cache, monkeypatch):
    files = docstrings.data_files()
    assert files.keys() == SPLITS and all(path.is_file() and cache in path.parents for path in files.values())
    monkeypatch.setattr(docstrings, "_gather", lambda: pytest.fail("gathered again"))
    assert docstrings.data_files() == files


def test_a_change_of_versions_or_format_makes_another_corpus(cache, monkeypatch):
    docstrings.data_files()
    monkeypatch.setattr(docstrings, "_FORMAT", docstrings._FORMAT + 1)
    docstrings.data_files()
    monkeypatch.setattr(docstrings, "version", lambda name: "0.0")
    docstrings.data_files()
    assert len(folders_in(cache)) == 3


def test_it_opens_as_a_source_and_can_be_read_by_many(cache):
    for split in SPLITS:
        stream = open_stream(Source("builtin:docstrings", split=split), ["text"])
        assert stream.reshard().num_shards >= 64


def test_the_share_of_labelled_docstrings_is_about_a_quarter_in_equal_halves(cache):
    sizes = {split: pq.read_table(path).num_rows for split, path in docstrings.data_files().items()}
    assert sum(sizes.values()) == len(ROWS)
    assert abs(sizes["labelled_train"] - 112) < 50 and abs(sizes["labelled_test"] - 112) < 50


@pytest.mark.parametrize(
    "text, package, masked",
    [
        ("NumPy and numpy.array, NUMPY", "numpy", "package and package.array, package"),
        ("import sklearn  # scikit-learn", "sklearn", "import package  # package"),
        ("the torch_function of PyTorch", "torch", "the package_function of package"),
        ("Hugging Face's transformers", "transformers", "package's package"),
        ("Python 3", "stdlib", "package 3"),
        ("torchvision and TorchDynamo", "torch", "packagevision and packageDynamo"),
        ("numpy stays in pandas", "pandas", "numpy stays in package"),
    ],
)
def test_the_name_of_the_package_is_masked(text, package, masked):
    assert docstrings.mask_package_name(text, package) == masked


def test_docstrings_are_read_from_files_of_any_kind(tmp_path, monkeypatch):
    module = '"""{}"""\nX = """no docstring, {}"""\n\n\ndef f():\n    r\'\'\'{} \\d\n    indented\n    \'\'\'\n'
    words = ("first " * 20, "second " * 20, "third " * 20)
    (tmp_path / "a.py").write_text(module.format(*words))
    (tmp_path / "broken.py").write_bytes(b'\xff\xfe"""not utf-8, and never closed')
    (tmp_path / "short.py").write_text('"""Too short."""')
    (tmp_path / "escape.py").write_text(f'"""A lone surrogate \\ud800 and an unknown escape \\q {words[0]}"""')
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "b.py").write_text(module.format(*words))
    (tmp_path / "test_c.py").write_text(module.format(*words))
    monkeypatch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    first, third, escape = docstrings._docstrings_of("stdlib")
    assert first == words[0]
    assert third == words[2] + " \\d\nindented"
    assert escape.startswith("A lone surrogate  and an unknown escape \\q first")


def test_a_package_that_is_not_installed_gives_nothing():
    assert list(docstrings._docstrings_of("no_such_package_here")) == []


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The real corpus, gathered once: file of each split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return docstrings.data_files()


@pytest.mark.slow
def test_the_real_splits_are_disjoint_and_as_described(corpus):
    tables = {split: pq.read_table(path).to_pylist() for split, path in corpus.items()}
    hashes = [row["hash"] for rows in tables.values() for row in rows]
    texts = [row["text"] for rows in tables.values() for row in rows]
    assert len(set(hashes)) == len(hashes) > 10_000
    assert len(set(texts)) == len(texts)  # nor does masking make two of them one
    assert all(row["hash"] == f"{content_hash(row['text']):016x}" for row in tables["train"])
    assert all(pq.ParquetFile(path).num_row_groups >= 64 for path in corpus.values())
    for split in ("labelled_train", "labelled_test"):
        assert {row["label"] for row in tables[split]} <= docstrings.LABELLED_PACKAGES.keys()
        assert all(row["label"] == row["package"] for row in tables[split])


@pytest.mark.slow
def test_no_real_labelled_text_holds_the_name_of_its_package(corpus):
    for split in ("labelled_train", "labelled_test"):
        for row in pq.read_table(corpus[split]).to_pylist():
            for name in docstrings.LABELLED_PACKAGES[row["label"]]:
                assert not re.search(rf"\b{re.escape(name)}\b", row["text"], re.IGNORECASE), row


@pytest.mark.slow
def test_gathering_again_gives_the_same_files(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path))
    again = docstrings.data_files()
    assert again["train"].parent.name == corpus["train"].parent.name
    for split in SPLITS:
        digests = {hashlib.sha256(Path(files[split]).read_bytes()).hexdigest() for files in (again, corpus)}
        assert len(digests) == 1


@pytest.mark.slow
def test_every_real_text_can_be_tokenised(corpus):
    texts = pq.read_table(corpus["labelled_test"])["text"].to_pylist()
    assert len(tokenise_texts(texts, tiny_tokenizer())) == len(texts)
