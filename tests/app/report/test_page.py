"""page.py: whole pages of runs of each kind, well formed, harmless, and never the end of a run."""

import json
import shutil

import pytest
from datasets import Dataset

from hf_unlab.app.report import page as page_module
from hf_unlab.app.report.page import REPORT_NAME, write_report, write_report_or_warn
from hf_unlab.app.report.run import read_run
from hf_unlab.app.report.section import section_of
from hf_unlab.testing import tiny_pairs
from tests.app.report.chromium import CHROMIUM, look_at
from tests.app.report.conftest import HOSTILE, few_labels, keep
from tests.app.report.html_checks import check
from tests.command_lines import parse_hf_unlab
from tests.hub.checkpoints import vit


def page_of(folder, path=None):
    report = write_report(folder, path)
    return report, check(report.path.read_text(encoding="utf-8"))


def test_a_run_of_text(text_run, drawn):
    report, page = page_of(text_run)
    words = page.words()
    assert report.path == text_run / REPORT_NAME and report.num_runs == 1 and report.notes == ()
    for said in (
        "BertForMaskedLM, 1 layer of width 16",
        "pretrained without labels on",
        "this model (auto) is right in 70.0 / 80.0 % of the cases",
        "With 50 it is behind TF-IDF.",
        "Labels that others need to be as good as pretrained with 5 a class: from scratch more than x 10",
        "70.0 ± 1.4",
        "Nearest texts",
        "held-out texts in the plane",
        "4 steps of 4 examples",
        "estimated: seconds x" if "estimated" in words else "counters",
        f"cc0 {HOSTILE}",
        "sequence_length",
        f'AutoTokenizer.from_pretrained("{text_run}")',
        f"hf-unlab publish {text_run} ME/NAME --licence apache-2.0 --dry_run",
        "held-out texts took",
    ):
        assert " ".join(said.split()) in words, said
    plots = [one for one in page.all("img") if one.get("class") == "plot"]
    assert [one["alt"].split(":")[0] for one in plots[:2]] == ["Accuracy over labels a class", "Over the steps"]
    assert len(plots) == 3 and all(one["src"].startswith("data:image/svg+xml") for one in plots)
    assert report.path.stat().st_size < 1_000_000


def test_what_strangers_wrote_is_shown_and_never_run(text_run):
    text = write_report(text_run).path.read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "<img src='" not in text and "evil.example" in text
    assert check(text).words().count('<script>alert("1")</script> <img src=\'https://evil.example') > 5


def test_a_run_of_images_with_captions(trained_pairs, tmp_path):
    report, page = page_of(trained_pairs, tmp_path / "page.html")
    words = page.words()
    assert "Images for a caption" in words and "Captions for an image" in words and "not been measured" in words
    assert not report.notes and "✓" in words and HOSTILE[:30] in words
    pictures = [one for one in page.all("img") if one.get("class") == "small"]
    assert len(pictures) == 5 * 5 + 5 and all(one["src"].startswith("data:image/png") for one in pictures)
    assert report.path == tmp_path / "page.html" and not (trained_pairs / REPORT_NAME).exists()


def test_a_run_of_images(tmp_path):
    vit(tmp_path)
    rows = [{"image": {**row["image"], "path": f"a/{HOSTILE[:8]}{i}"}} for i, row in enumerate(tiny_pairs(20))]
    rows.append({"image": {"bytes": b"no image", "path": None}})
    Dataset.from_list(rows).to_parquet(tmp_path / "_held_out.parquet")
    report, page = page_of(tmp_path)
    pictures = [one for one in page.all("img") if one.get("class") == "small"]
    assert "Nearest images" in page.words() and "ViTModel" in page.words() and not report.notes
    assert 10 < len(pictures) <= 5 * 6 and pictures[0]["alt"].startswith("a/<script")


def test_a_run_of_recordings(trained_clips, tmp_path):
    report, page = page_of(trained_clips, tmp_path / "page.html")
    assert "Nearest recordings" in page.words() and not report.notes
    players = page.all("audio")
    assert len(players) == 3 * 4 and all(
        "controls" in one and one["src"].startswith("data:audio/wav") for one in players
    )
    assert report.path.stat().st_size < 3_000_000
    assert HOSTILE[:30] not in report.path.read_text(encoding="utf-8")


def test_the_commands_are_understood(text_run, trained_clips):
    for folder in (text_run, trained_clips):
        commands = section_of(read_run(folder), "run-1", most_examples=4).commands
        assert len(commands) == 4
        for _, command in commands:
            words = command.split()
            assert words[0] == "hf-unlab"
            parse_hf_unlab(words[1:])


def test_a_folder_of_runs_begins_with_a_table_of_all(text_run, trained_clips, tmp_path):
    shutil.copytree(trained_clips, tmp_path / "clips")
    empty = tmp_path / "stopped"
    empty.mkdir()
    (empty / "_run.json").write_text(json.dumps({"is_stopped": True, "settings": {"max_steps": 9}}))
    (tmp_path / "not_a_run").mkdir()
    report, page = page_of(tmp_path)
    words = page.words()
    assert report.num_runs == 3 and report.path == tmp_path / REPORT_NAME
    assert [one["href"] for one in page.all("a")] == ["#run-1", "#run-2", "#run-3"]
    assert {one["id"] for one in page.all("section")} == {"run-1", "run-2", "run-3"}
    assert words.startswith(f"{tmp_path.name}: 3 runs") and words.count("not measured with labels") == 2
    table = words[: words.index("Marked: the highest of the three")]
    assert "TF-IDF, logistic regression 50.0 90.0" in table and "pretrained, auto 70.0 80.0" in table
    assert "A run that has saved no model yet. It was stopped before its first checkpoint" in words


@pytest.mark.parametrize(
    "missing, said",
    [
        ("few_label.json", "It has not been measured with labels"),
        ("_held_out.parquet", "No held-out examples are kept with this run"),
        ("_facts.json", "BertForMaskedLM"),
        ("model.safetensors", "BertForMaskedLM"),  # in the checkpoint of the last step there is the same
    ],
)
def test_what_is_missing_leaves_the_rest(text_run, missing, said):
    (text_run / missing).unlink()
    report, page = page_of(text_run)
    assert said in page.words() and report.notes == ()


@pytest.mark.parametrize("broken", ["few_label.json", "_held_out.parquet", "_facts.json", "config.json", "_run.json"])
def test_what_is_damaged_is_said_in_a_line(text_run, broken):
    (text_run / broken).write_text("{<b>")
    report, page = page_of(text_run)
    assert report.notes and all("left out" in note for note in report.notes) and "left out" in page.words()
    assert not page.all("b")


def test_without_an_extra_the_page_says_what_to_install(text_run, monkeypatch):
    def missing(*given, **more):
        raise ImportError("This needs soxr, which is not installed: pip install 'hf-unlab[audio]'")

    monkeypatch.setattr("hf_unlab.app.report.examples.features_of", missing)
    report, page = page_of(text_run)
    assert "pip install 'hf-unlab[audio]'" in page.words() and len(report.notes) == 1


def test_a_table_alone_is_enough(tmp_path):
    keep(few_labels(), tmp_path)
    _, page = page_of(tmp_path)
    assert "70.0 ± 1.4" in page.words() and "No model has been saved here yet" in page.words()


def test_no_run_is_a_mistake_and_never_one_at_the_end_of_a_run(tmp_path, monkeypatch, caplog):
    with pytest.raises(ValueError, match="holds no run"):
        write_report(tmp_path)
    assert write_report_or_warn(tmp_path) is None and "No report could be made" in caplog.text

    def fails(*given, **more):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(page_module, "write_report", fails)
    caplog.clear()
    assert write_report_or_warn(tmp_path) is None and "RuntimeError: out of memory" in caplog.text


def test_what_was_left_out_is_a_warning_at_the_end_of_a_run(text_run, caplog):
    (text_run / "_held_out.parquet").write_text("no parquet")
    report = write_report_or_warn(text_run)
    assert report and report.path.is_file() and "In the report, of_text: What its examples look like" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_has_nothing_to_complain_of(text_run, trained_pairs, trained_clips, drawn, tmp_path):
    shutil.copytree(trained_pairs, tmp_path / "pairs")
    shutil.copytree(trained_clips, tmp_path / "clips")
    path = write_report(tmp_path).path
    backgrounds = []
    for width, dark in ((1280, False), (390, True)):
        seen = look_at(path, tmp_path / f"profile-{width}", width, dark)
        assert seen.complaints == [] and seen.width <= width
        assert {address for address in seen.requests if not address.startswith("data:")} == {path.as_uri()}
        backgrounds.append(seen.background)
    assert backgrounds[0] == "rgb(255, 255, 255)" != backgrounds[1]
