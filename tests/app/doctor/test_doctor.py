"""The command: it finds what is wrong, goes on after it, exits with 1 for it, and shows no secret."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from hf_unlab.app import doctor
from hf_unlab.app.cli import app
from hf_unlab.app.doctor import machine
from tests.app.doctor.helpers import detail_of


@pytest.fixture
def run_doctor(quick, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def run(*options):
        return CliRunner().invoke(app, ["doctor", *map(str, options)])

    return run


def test_no_part_of_the_token_is_shown(run_doctor, monkeypatch, texts):
    secret = "hf_secretXYZWVUTSRQPONMLK"
    monkeypatch.setenv("HF_TOKEN", secret)
    for options in ([], ["--dataset", texts("a.jsonl", 3)], ["--dataset", "nobody/nothing"]):
        output = run_doctor(*options).output
        assert "present" in output
        assert not any(secret[i : i + 5] in output for i in range(len(secret) - 4))


def test_a_broken_source_beside_a_good_one(run_doctor, tmp_path, texts):
    good = texts("good.jsonl", 40)
    config = tmp_path / "mix.yaml"
    config.write_text(
        f"data:\n- path: json\n  data_files: {tmp_path}/nothing-*.jsonl\n- path: {good}\nnum_readers: 1\n"
        f"output_dir: {tmp_path}/out\nmask_probability: 0.2\nnum_labels_per_class: [5]\n"
    )
    result = run_doctor("--config", config)
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    (broken,) = [line for line in lines if "source 1" in line]
    (working,) = [line for line in lines if "source 2" in line]
    assert broken.startswith("problem") and working.startswith("ok")
    assert "'text': 'text 0 of good.jsonl'" in result.output
    assert lines[-1].startswith("1 problem")


def test_the_command_line_replaces_the_config_s_data(run_doctor, tmp_path, texts):
    (tmp_path / "a.yaml").write_text("data:\n- path: nobody/nothing\nnum_readers: 8\n")
    files = [texts(f"{i}.jsonl", 40) for i in range(2)]
    options = ["--dataset", "json", "--data_files", *files, "--num_readers", "2", "--output_dir", tmp_path]
    result = run_doctor("--config", tmp_path / "a.yaml", "--num-examples", "5", *options)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())  # lines are cut where the path of the folder ends
    assert "(5 read)" in shown and "2 shards: 1 for each of 2 readers" in shown


@pytest.mark.parametrize(
    "yaml, options, words",
    [
        ("dataset: json\ndata_fils: [a]\n", [], "did you mean data_files"),
        ("data:\n- path: json\n  wieght: 1\n", [], "did you mean weight?"),
        ("dataset: json\nmask_probabilty: 0.3\n", [], "did you mean mask_probability"),
        ("dataset: json\nnum_readers: many\n", [], "expected a whole number"),
        ("dataset: json\n", ["--num_raeders", "4"], "did you mean --num_readers"),
        (None, [], "there is no such file"),
    ],
)
def test_a_mistake_in_the_settings_is_not_ignored(quick, tmp_path, yaml, options, words):
    config = tmp_path / "a.yaml"
    if yaml is not None:
        config.write_text(yaml)
    findings = list(doctor.examine(["--config", str(config), *options], output_dir=str(tmp_path / "out")))
    status, detail = detail_of("settings", findings)
    assert status == "problem" and words in detail
    # the other checks go on
    assert detail_of("output folder", findings)[1].startswith(f"{tmp_path / 'out'}: ")


def test_a_config_without_data(quick, tmp_path):
    (tmp_path / "a.yaml").write_text("num_readers: 4\n")
    status, detail = detail_of("data", list(doctor.examine(["--config", str(tmp_path / "a.yaml")])))
    assert status == "problem" and detail.startswith("There is no data")


@pytest.mark.parametrize("spelling", ["--output-dir", "--output_dir"])
def test_the_output_folder_as_given_after_a_mistake(run_doctor, tmp_path, monkeypatch, spelling):
    monkeypatch.setenv("COLUMNS", "500")
    result = run_doctor("--num_raeders", "4", spelling, tmp_path / "out")
    assert result.exit_code == 1 and f"{tmp_path / 'out'}: " in result.output


def test_settings_for_another_machine_are_read_without_being_acted_upon():
    settings = doctor.read_settings(["--bf16", "true", "--use_cpu", "true", "--learning_rate", "1e-3"])
    assert settings.bf16 and settings.learning_rate == 1e-3 and settings.precision == "auto"


def test_a_check_that_breaks_is_a_finding(quick, monkeypatch):
    def broken():
        raise OSError("libcudart.so.12: cannot\nopen")

    monkeypatch.setattr(machine, "check_devices", lambda *args: broken())
    findings = list(doctor.examine())
    assert detail_of("devices", findings) == ("problem", "OSError: libcudart.so.12: cannot open")
    assert detail_of("data", findings)[0] == "ok"


def test_exit_code_width_and_one_mark_a_line(run_doctor, tmp_path, texts):
    name = f"{'long-' * 20}name.jsonl"
    result = run_doctor("--output-dir", tmp_path / "out", "--dataset", texts(name, 2))
    assert result.exit_code == 0, result.output
    *lines, summary = result.output.splitlines()
    assert all(line.split()[0] in ("ok", "warning") for line in lines if not line.startswith(" "))
    assert max(map(len, lines)) <= 80 and not any(line.endswith(" ") for line in lines)
    assert summary.startswith("No problem, ") and "warning" in summary


def test_help_imports_nothing_heavy():
    code = "import sys, hf_unlab.app.doctor, hf_unlab.app.cli; "
    code += "assert not {'torch', 'transformers', 'datasets'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
