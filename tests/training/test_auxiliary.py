"""Modules beside the model: saved, resumed, optimised with it, alike on every rank, never published."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from hf_unlab.testing import tiny_bert
from hf_unlab.training.auxiliary import FILE_NAME, AuxiliaryModules
from tests.processes.launching import in_two_processes


def modules(seed=0, num_features=3):
    """A teacher without gradients, and a head with a matrix, a bias, a norm and a buffer."""
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Linear(num_features, 2), nn.BatchNorm1d(2))
    return AuxiliaryModules({"teacher": nn.Linear(2, 2).requires_grad_(False), "head": head})


def test_what_was_saved_is_loaded_buffers_and_teachers_too(tmp_path):
    one, other = modules(seed=1), modules(seed=2)
    one["head"](torch.randn(8, 3))  # moves the statistics
    one.save(tmp_path)
    other.load(tmp_path)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_teacher_with_tied_weights_is_saved(tmp_path):
    one, other = (AuxiliaryModules({"teacher": tiny_bert()}) for _ in range(2))
    assert one["teacher"].cls.predictions.decoder.weight is one["teacher"].bert.embeddings.word_embeddings.weight
    one["view"] = nn.Module()
    one["view"].register_buffer("queue", torch.arange(6.0).view(2, 3).T)  # not contiguous
    other["view"] = nn.Module()
    other["view"].register_buffer("queue", torch.zeros(3, 2))
    one.save(tmp_path)
    other.load(tmp_path)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_without_modules_there_is_no_file(tmp_path):
    AuxiliaryModules({}).save(tmp_path)
    assert not list(tmp_path.iterdir())
    AuxiliaryModules({}).load(tmp_path)


def test_a_checkpoint_without_them_or_with_others_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no teacher, head of this objective"):
        modules().load(tmp_path)
    modules(num_features=4).save(tmp_path)
    with pytest.raises(ValueError, match=r"holds no teacher, head of this objective: (.|\n)*size mismatch"):
        modules().load(tmp_path)
    AuxiliaryModules({"codebook": nn.Linear(1, 1)}).save(tmp_path)
    with pytest.raises(ValueError, match=r"holds no teacher, head(.|\n)*Missing key"):
        modules().load(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="holds no teacher, head"):
        modules().load(tmp_path)


def test_a_name_that_they_have_themselves_is_refused():
    with pytest.raises(KeyError, match="load"):
        AuxiliaryModules({"load": nn.Linear(1, 1)})


def test_matrices_are_decayed_and_nothing_else():
    decayed, others = modules().parameter_groups(0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert [one.shape for one in decayed["params"]] == [(2, 3)]
    assert [one.shape for one in others["params"]] == [(2,), (2,), (2,)]
    (sole,) = AuxiliaryModules({"matrix": nn.Linear(1, 1, bias=False)}).parameter_groups(0.1)
    assert sole["weight_decay"] == 0.1
    assert AuxiliaryModules({}).parameter_groups(0.1) == []


def test_gradients_and_sharding_do_not_go_together():
    with pytest.raises(ValueError, match=r"\(teacher, head\) have gradients, which FSDP and ZeRO do not share"):
        modules().check(is_sharded=True)
    modules().check(is_sharded=False)
    AuxiliaryModules({"teacher": nn.Linear(2, 2).requires_grad_(False)}).check(is_sharded=True)


def share(folder):
    """Rank 1 begins with other weights, and has nothing for the norm."""
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo")
    both = modules(seed=rank)
    both.make_alike()
    begun = both["head"][0].weight.sum().item()
    inputs = torch.full((2, 3), 1.0 + rank)
    hidden = both["head"][0](inputs)
    (hidden if rank else both["head"][1](hidden)).sum().backward()
    mine = [None if one.grad is None else one.grad.tolist() for one in both.trained]
    both.share_gradients()
    shared = [one.grad.tolist() for one in both.trained]
    said = {"begun": begun, "mine": mine, "shared": shared, "teacher": both["teacher"].weight.grad}
    (Path(folder) / f"{rank}.json").write_text(json.dumps(said))
    torch.distributed.destroy_process_group()


def test_two_ranks_begin_alike_and_share_the_mean_of_their_gradients(tmp_path):
    in_two_processes(share, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["begun"] == second["begun"]
    assert first["shared"] == second["shared"]
    assert second["mine"][2:] == [None, None] and first["teacher"] is second["teacher"] is None
    for own, theirs, shared in zip(first["mine"], second["mine"], first["shared"], strict=True):
        mean = torch.tensor(own) / 2 if theirs is None else (torch.tensor(own) + torch.tensor(theirs)) / 2
        torch.testing.assert_close(torch.tensor(shared), mean)


def test_alone_there_is_nobody_to_share_with():
    both = modules()
    both.make_alike()
    both.share_gradients()
    assert all(one.grad is None for one in both.trained)
