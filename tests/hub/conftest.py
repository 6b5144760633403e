"""Checkpoints that runs wrote, and a Hub on this machine that this process talks to."""

import json
import shutil
import warnings

import huggingface_hub.constants
import huggingface_hub.hf_api
import pytest

from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_bert, tiny_texts, tiny_tokenizer
from hf_unlab.testing.loopback_hub import LoopbackHub

TOKEN = "hf_" + "a1B2" * 8
RAW = [f"{text} And what nobody but its writer may read, number {i}." for i, text in enumerate(tiny_texts(200))]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that the client of this process takes for the real one; `alice` is logged in."""
    with LoopbackHub({TOKEN: "alice", "hf_bob": "bob"}) as one:
        for name, value in (
            ("ENDPOINT", one.endpoint),
            ("HUGGINGFACE_CO_URL_TEMPLATE", one.endpoint + "/{repo_id}/resolve/{revision}/{filename}"),
            ("HF_HUB_OFFLINE", False),
            ("HF_HUB_DISABLE_XET", True),
            ("HF_HUB_CACHE", str(tmp_path / "cache")),
        ):
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", one.endpoint)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # made of the endpoint when it is first asked
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # for the processes that load models
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's waits between its tries
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)  # of how the client uploads
            yield one


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of masked LM; do not write into it."""
    folder = tmp_path_factory.mktemp("trained")
    data = folder / "reviews.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in RAW))
    tokenizer = tiny_tokenizer()
    args = MaskedLMTrainingArguments(
        str(folder / "out"),
        max_steps=4,
        logging_steps=1,
        save_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        sequence_length=32,
        per_device_train_batch_size=4,
        validation_fraction=0.1,
        num_readers=1,
    )
    trainer = MaskedLMTrainer(
        tiny_bert(len(tokenizer)), args, [Source(str(data), licence="cc0-1.0")], processing_class=tokenizer
    )
    trainer.train()
    trainer.save_model()
    rows = [
        {
            "name": "TF-IDF",
            "method": "logistic regression",
            "mean": {"5": 0.5, "50": 0.9},
            "std": {"5": 0.1, "50": 0.1},
        },
        {"name": "pretrained", "method": "linear probe", "mean": {"5": 0.7, "50": 0.8}, "std": {"5": 0.1, "50": 0.0}},
        {"name": "from scratch", "method": "fine-tuned", "mean": {"5": 0.4, "50": 0.6}, "std": {"5": 0.1, "50": 0.0}},
    ]
    table = {"task": str(folder / "labels.jsonl"), "num_labels_per_class": [5, 50], "rows": rows}
    (folder / "out" / "few_label.json").write_text(json.dumps(table))
    return folder / "out"


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A copy of `trained` to change."""
    return shutil.copytree(trained, tmp_path / "out")
