"""command.py: a report by the command line."""

from typer.testing import CliRunner

from hf_unlab.app import cli


def test_the_command_says_where_it_is_and_what_it_took(text_run, tmp_path):
    result = CliRunner().invoke(cli.app, ["report", str(text_run), "-o", str(tmp_path / "new" / "page.html")])
    assert result.exit_code == 0, result.output
    assert f"The report is {tmp_path}/new/page.html (0." in result.output and "held-out texts took" in result.output
    assert (tmp_path / "new" / "page.html").is_file() and not (text_run / "report.html").exists()


def test_no_run_is_a_message(tmp_path, capsys):
    result = CliRunner().invoke(cli.app, ["report", str(tmp_path)])
    assert result.exit_code == 2 and "Traceback" not in result.output
