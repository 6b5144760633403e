"""The table of built-in corpora: each has a module, and what is not in it is named with what is."""

import importlib
from pathlib import Path

import pytest

from hf_unlab import corpora
from hf_unlab.corpora import docstrings


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_each_name_is_a_module_that_makes_its_files(name):
    assert callable(importlib.import_module(f"hf_unlab.corpora.{name}").data_files)


def test_a_split_is_one_of_the_files(monkeypatch):
    files = {"train": Path("a.parquet"), "labelled_train": Path("b.parquet"), "labelled_test": Path("c.parquet")}
    monkeypatch.setattr(docstrings, "data_files", lambda: files)
    assert corpora.data_files("docstrings", "labelled_test") == ["c.parquet"]
    with pytest.raises(ValueError, match="no split 'test'; its splits are: train, labelled_train, labelled_test"):
        corpora.data_files("docstrings", "test")


def test_an_unknown_corpus_names_those_there_are():
    with pytest.raises(ValueError, match="no built-in corpus 'poems'; there are: docstrings"):
        corpora.data_files("poems", "train")


def test_each_is_proved_on_one_that_there_is():
    assert set(corpora.BUILTIN_LABELLED) <= {f"builtin:{name}" for name in corpora.CORPORA}
    for labelled, pool, test in corpora.BUILTIN_LABELLED.values():
        assert labelled.removeprefix("builtin:") in corpora.CORPORA and pool != test
