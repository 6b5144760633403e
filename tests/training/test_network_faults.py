"""A run over a server that dies: it ends behind a checkpoint, and goes on when the server is back."""

import json

import pytest

from hf_unlab.streams import network
from hf_unlab.streams.network import NetworkError
from hf_unlab.streams.sources import Source
from hf_unlab.training.checkpoints import damage
from tests.faulty_server import Fault, FaultyServer
from tests.training.helpers import TEXTS, losses, make_trainer


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "FIRST_WAIT_SECONDS", 0.001)
    folder = tmp_path / "served"
    folder.mkdir()
    for number in range(8):
        texts = TEXTS[number * 20 : (number + 1) * 20]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with FaultyServer(folder) as server:
        yield server


@pytest.mark.parametrize("workers", [0, 2])
def test_a_server_that_dies_ends_the_run_behind_a_checkpoint_that_resumes_there(tmp_path, server, workers):
    source = Source("json", data_files=[server.url(f"{number}.jsonl") for number in range(8)])
    settings = {"max_steps": 30, "shuffle_block_size": 5, "network_retries": 2, "dataloader_num_workers": workers}
    whole = make_trainer(tmp_path / "whole", source, **settings)
    whole.train()

    cut = make_trainer(tmp_path / "cut", source, **{**settings, "save_steps": 50})
    begun = len(server.requests)
    # every reader may open its first file, and none its second
    server.choose = lambda request: Fault("status") if len(server.requests) - begun > 12 else None
    with pytest.raises(
        NetworkError, match=r"Cannot read http://127.0.0.1.*jsonl for reader \d of 4: HTTP 503"
    ) as raised:
        cut.train()
    (checkpoint,) = (tmp_path / "cut").glob("checkpoint-*")
    assert damage(checkpoint) is None
    assert raised.value.__notes__ == [f"{checkpoint} resumes there."]

    server.choose = lambda request: None
    resumed = make_trainer(tmp_path / "cut", source, **settings)
    resumed.train(resume_from_checkpoint="auto")
    assert losses(resumed) == losses(whole)
