"""YAML values become what the fields are annotated as, and a mistake names the file, the key and the cure."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hf_unlab.app.yaml_values import build, check_keys, convert, field_types, init_fields, read_yaml, suggest
from tests.app.helpers import Item, message, read


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("rate: 1e-3", "rate", 0.001),
        ("rate: 2", "rate", 2.0),
        ("rate: -.5", "rate", -0.5),
        ("rate: .inf", "rate", float("inf")),
        ("steps: 1e4", "steps", 10_000),
        ("steps: 1_000", "steps", 1000),
        ("fp16: true", "fp16", True),
        ("fp16: yes", "fp16", True),
        ("fp16: off", "fp16", False),
        ("name: no", "name", "no"),
        ("name: 2024-01-01", "name", "2024-01-01"),
        ("mode: slow", "mode", "slow"),
        ("colour: blue", "colour", "blue"),
        ("limit:", "limit", None),
        ("limit: 3", "limit", 3),
        ("folder: a/b", "folder", Path("a/b")),
        ("tags: [a, b]", "tags", ["a", "b"]),
        ("extra: {low: 1e-5, on: true}", "extra", {"low": 1e-5, "on": True}),
        ("extra: text", "extra", "text"),
        ("data: [{path: a, weight: 2}]", "data", [{"path": "a", "weight": 2}]),
        ("items: [{path: a, weight: 2}, {path: b}]", "items", [Item("a", 2.0), Item("b")]),
    ],
)
def test_yaml_values(write, line, name, expected):
    value = getattr(read("--config", write(line)), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("steps: many", "steps: expected a whole number, got 'many'"),
        ("steps: 1.5", "steps: expected a whole number, got 1.5"),
        ("steps: true", "steps: expected a whole number, got True"),
        ("steps: [1]", "steps: expected a whole number, got [1]"),
        ("steps:", "steps: expected a whole number, got null"),
        ("rate: fast", "rate: expected a number, got 'fast'"),
        ("fp16: 1", "fp16: expected true or false, got 1"),
        ("name: 5", "name: expected text, got 5; put it in quotes: '5'"),
        ("mode: medium", "mode: expected one of fast, slow, got 'medium'"),
        ("colour: green", "colour: expected one of red, blue, got 'green'"),
        ("tags: a", "tags: expected a list, got 'a'"),
        ("tags: [a, 1]", "tags[1]: expected text, got 1"),
        ("items: [{path: a}, {path: b, wieght: 1}]", "items[1]: unknown key 'wieght', did you mean weight?"),
        ("items: [{weight: heavy, path: a}]", "items[0].weight: expected a number, got 'heavy'"),
        ("items: [{weight: 1}]", "items[0]: missing path"),
        ("stepz: 1", "unknown key 'stepz', did you mean steps?"),
        ("no_fp16: true\nfp17: 1", "unknown key 'no_fp16', did you mean fp16? and 'fp17', did you mean fp16?"),
        ("1: a", "unknown key '1'."),
        ("steps: 1\nsteps: 2", "steps twice"),
        ("extra: {a: 1, a: 2}", "a twice"),
        ("steps: [", "is not valid YAML"),
        ("", "is empty"),
        ("# only a comment", "is empty"),
        ("- steps", "expected 'key: value' lines, got ['steps']"),
        ("steps", "expected 'key: value' lines, got 'steps'"),
    ],
)
def test_yaml_mistakes_name_the_file_and_the_cure(write, line, expected):
    config = write(line)
    text = message("--config", config)
    assert config in text
    assert expected in text


def test_unreadable_files(tmp_path):
    assert "there is no such file" in message("--config", str(tmp_path / "none.yaml"))
    assert "cannot be read" in message("--config", str(tmp_path))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    assert "UTF-8" in message("--config", str(tmp_path / "latin.yaml"))


def test_a_file_is_read_as_yaml_1_2(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1e-3\nb: no\nc: 2024-01-01\nd: true\ne: 0x10\n1: {x: [~]}\n")
    assert read_yaml(path) == {"a": 0.001, "b": "no", "c": "2024-01-01", "d": True, "e": 16, 1: {"x": [None]}}


@dataclass
class Derived:
    given: int | str
    listed: list[float] = field(default_factory=list)
    made: int = field(default=0, init=False)


def test_only_what_the_constructor_takes_is_a_field():
    assert [one.name for one in init_fields(Derived)] == ["given", "listed"]
    assert field_types(Derived) == {"given": int | str, "listed": list[float]}


def test_a_dataclass_is_built_of_what_is_given_and_its_defaults():
    assert build(Item, {"path": "a"}, "a.yaml") == Item("a", 1.0)
    with pytest.raises(ValueError, match=r"^a.yaml: data\[0\]: missing path, which Item has no default for$"):
        build(Item, {"weight": 2.0}, "a.yaml: data[0]")


def test_the_exact_type_of_several_comes_first():
    for value in (3, "3", 3.0):
        assert type(convert(value, str | float | int, "x")) is type(value)
    assert convert([1, 2], Derived.__annotations__["listed"], "x") == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"^x: expected a list or null, got 'a{59}\.\.\.$"):
        convert("a" * 200, list[int] | None, "x")


def test_few_known_keys_are_listed_and_many_are_left_to_help():
    check_keys(["a"], ["a", "b"], "x")
    with pytest.raises(ValueError, match=r"^x: unknown key 'zzz'. Known keys: a, b$"):
        check_keys(["a", "zzz"], ["a", "b"], "x")
    with pytest.raises(ValueError, match=r"^x: unknown key 'key1', did you mean key.*\? Rename or remove it; --help"):
        check_keys(["key1"], [f"key_{i}" for i in range(13)], "x")
    assert suggest("zzz", ["steps"]) == "." and suggest("step", ["steps"], "--") == ", did you mean --steps?"
