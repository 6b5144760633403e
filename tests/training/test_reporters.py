"""What is not installed cannot be reported to, and that is said at once."""

import pytest
from transformers.integrations import integration_utils

from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.reporters import _NEEDS, check_reporters


@pytest.mark.parametrize("name", _NEEDS)
def test_a_package_that_is_missing_is_named_with_what_installs_it(tmp_path, monkeypatch, name):
    question, packages = _NEEDS[name]
    monkeypatch.setattr(integration_utils, f"is_{question}_available", lambda: False)
    with pytest.raises(ValueError, match=f"report_to={name} needs .* pip install {packages} "):
        PretrainingArguments(str(tmp_path), report_to=name)
    monkeypatch.setattr(integration_utils, f"is_{question}_available", lambda: True)
    check_reporters([name])


def test_all_that_trainer_can_report_to_is_asked_for():
    assert _NEEDS.keys() == integration_utils.INTEGRATION_TO_CALLBACK.keys() - {"kubeflow"}


@pytest.mark.parametrize("report_to", ["none", "all", []])
def test_none_and_all_take_what_there_is(tmp_path, monkeypatch, report_to):
    monkeypatch.setattr("transformers.integrations.get_available_reporting_integrations", list)
    assert PretrainingArguments(str(tmp_path), report_to=report_to).report_to == []
