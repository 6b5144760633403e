"""A YAML file to read."""

import pytest


@pytest.fixture
def write(tmp_path):
    def write_yaml(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_yaml
