"""saying.py: where the report is, at the end of a run that it must not spoil."""

from hf_unlab.app.console import say as say_proof
from hf_unlab.app.report.page import Report
from hf_unlab.app.report.saying import say, say_report


def test_at_the_end_of_a_run_nothing_is_raised(tmp_path, capsys, caplog):
    say_report(tmp_path)
    assert capsys.readouterr().out == "" and "holds no run" in caplog.text


def test_of_several_runs_their_number_is_said(tmp_path, capsys):
    (tmp_path / "report.html").write_text("x" * 2_340_000)
    say(Report(tmp_path / "report.html", 3, (), ("a", "b", "c")))
    said = f"The report of 3 runs is {tmp_path}/report.html (2.3 MB): open it in a browser."
    assert capsys.readouterr().out.split() == said.split()


def test_a_recipe_ends_in_its_report(text_run, capsys):
    (text_run / "few_label.json").unlink()
    say_proof([], str(text_run))
    said = capsys.readouterr().out
    assert "Load it with plain transformers" in said and f"The report is {text_run}/report.html" in said
    assert (text_run / "report.html").is_file() and "held-out texts took" in said
