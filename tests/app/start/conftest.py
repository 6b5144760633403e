"""A folder for data."""

import pytest


@pytest.fixture
def data(tmp_path):
    (folder := tmp_path / "data").mkdir()
    return folder
