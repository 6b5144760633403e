import logging

import pytest

from hf_unlab.streams.messages import first_line, one_line, warn_once


def test_each_message_of_a_logger_is_said_once(caplog):
    one, other = logging.getLogger("hf_unlab.one"), logging.getLogger("hf_unlab.other")
    for logger, message in ((one, "50% are blank"), (one, "50% are blank"), (one, "is empty"), (other, "is empty")):
        warn_once(logger, message)
    said = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("hf_unlab.one", "WARNING", "50% are blank"),
        ("hf_unlab.one", "WARNING", "is empty"),
        ("hf_unlab.other", "WARNING", "is empty"),
    ]


@pytest.mark.parametrize(
    ("error", "first", "whole"),
    [
        (ValueError("\n a  table\n of weights "), "a  table", "a table of weights"),
        (EOFError(), "EOFError", ""),
        (ValueError(" \n"), "ValueError", ""),
        (ValueError("x" * 300), "x" * 300, "x" * 200),
    ],
)
def test_errors_are_told_in_one_line(error, first, whole):
    assert first_line(error) == first
    assert one_line(error) == whole
