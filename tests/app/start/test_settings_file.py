"""A recipe's YAML with other settings."""

from pathlib import Path

import pytest

from hf_unlab.app.start.planning import Stage
from hf_unlab.app.start.settings_file import compose, rendered, write
from hf_unlab.app.yaml_values import read_yaml
from hf_unlab.hub.resources import recipe_path

HARD = [
    *("plain", "with space", "no", "1e-3", "0.5", "2024-01-01", "null", "~", "# no comment", "a: b", "é", 'quo"te'),
    *("back\\slash", "*.csv", "[a]", "{a}", "- a", "", "a'b", "~/data", ".inf", "tab\there"),
]


@pytest.mark.parametrize("value", [*HARD, HARD, {"sep": "\t", "names": ["a b", "no"]}, 1, 0.5, True, None])
def test_values_are_read_as_they_were(value, tmp_path):
    (path := tmp_path / "a.yaml").write_text(f"key: {rendered(value)}\n", encoding="utf-8")
    assert read_yaml(path)["key"] == value


def test_settings_that_are_not_changed_stay(tmp_path):
    changes = {"output_dir": "out", "dataset": "csv", "data_files": ["a.csv"] * 30, "num_readers": 1, "min_steps": 5}
    stage = Stage("text_contrastive", "tiny.yaml", changes, comments={"num_readers": ["why"]})
    write(stage, path := tmp_path / "a.yaml", text := compose(stage, ["Mine."]))
    base, now = read_yaml(recipe_path("text_contrastive", "tiny.yaml")), read_yaml(path)
    assert now == {name: value for name, value in base.items() if name != "data"} | changes
    assert "# why\nnum_readers: 1\n" in text and "data:" not in text and "  - a.csv\n" in text


def test_what_the_parser_refuses_is_not_written(tmp_path):
    stage = Stage("text_contrastive", "tiny.yaml", {"output_dir": "out", "dataset": "csv", "num_reders": 1})
    with pytest.raises(ValueError, match="num_readers"):
        write(stage, tmp_path / "a.yaml", compose(stage, []))
    assert not list(Path(tmp_path).iterdir())
