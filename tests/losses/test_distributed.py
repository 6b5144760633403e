"""Two real processes: their losses and gradients are those of one process that has the whole batch."""

import functools

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from hf_unlab.losses.contrastive import info_nce_loss, sigmoid_loss
from hf_unlab.losses.distributed import gather_features, gather_with_gradients, rank_of
from hf_unlab.losses.gradient_cache import cached_feature_gradients

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads
NUM_RANKS, NUM_PAIRS = 2, 12
LOSSES = {"info_nce": info_nce_loss, "sigmoid": functools.partial(sigmoid_loss, chunk_size=5)}
NAMES = pytest.mark.parametrize("name", LOSSES)


class Towers(nn.Module):
    """The smallest dual encoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.of_query, self.of_key = nn.Linear(6, 4), nn.Linear(5, 4)
        self.log_scale, self.bias = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(-3.0))

    def forward(self, left, right):
        features = F.normalize(self.of_query(left), dim=-1), F.normalize(self.of_key(right), dim=-1)
        return *features, self.log_scale.exp(), self.bias


def make_batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NUM_PAIRS, 6, generator=generator), torch.randn(NUM_PAIRS, 5, generator=generator)


def own_rows(tensor, rank):
    return tensor.chunk(NUM_RANKS)[rank]


def work(rank, folder):
    """What each rank finds, written to a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=NUM_RANKS)
    left, right = (own_rows(tensor, rank) for tensor in make_batch())
    found = {"weighted": weighted_gather(left, rank), "offset": gather_features(left, left).offset}
    ids = own_rows(torch.arange(NUM_PAIRS) + 2**60, rank)
    found |= {"rank": rank_of(), "ids": gather_with_gradients(ids[:, None])}
    for name, loss_fn in LOSSES.items():
        model = Towers()
        query, key, scale, bias = outputs = model(left, right)
        leaves = [tensor.detach().requires_grad_() for tensor in (query, key, scale, bias)]
        loss = loss_fn(*leaves, gather_features(*leaves[:2]))
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
        cached = cached_feature_gradients(query, key, scale, bias, loss_fn, gather=gather_features)
        found[name] = {
            "loss": loss.detach(),
            "gradients": gradients,
            "cached_loss": cached.loss_sum,
            "cached": (cached.query_BD, cached.key_BD, cached.logit_scale, cached.logit_bias),
            "parameters": parameter_gradients(model, outputs, loss_fn),
        }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def weighted_gather(left, rank):
    """What is gathered, strides and half precision included, and the gradient of sums that each rank weights anew."""
    leaf = left.T.contiguous().T.requires_grad_()
    gathered = gather_with_gradients(leaf)
    (gathered * torch.arange(NUM_PAIRS)[:, None] * 10**rank).sum().backward()
    return gathered.detach(), leaf.grad, gather_with_gradients(left.bfloat16())


def parameter_gradients(model, outputs, loss_fn):
    """As a trainer does it: loss_sum x ranks / pairs of the step. DDP takes the mean over ranks."""
    loss = loss_fn(*outputs, gather_features(*outputs[:2])) * NUM_RANKS / NUM_PAIRS
    (loss + 0 * model.bias).backward()  # InfoNCE does not read it
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    # forked, as workers of loaders are: a fresh interpreter takes seconds to import torch
    torch.multiprocessing.start_processes(work, (str(folder),), nprocs=NUM_RANKS, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(NUM_RANKS)]


@functools.cache
def single_process(name):
    """Loss, gradients of features, scale and bias, and of the parameters of the whole batch."""
    model = Towers()
    outputs = model(*make_batch())
    loss = LOSSES[name](*outputs)
    gradients = torch.autograd.grad(loss, outputs, materialize_grads=True, retain_graph=True)
    ((loss + 0 * model.bias) / NUM_PAIRS).backward()
    return loss.detach(), gradients, {name: parameter.grad for name, parameter in model.named_parameters()}


def test_rows_stand_in_the_order_of_ranks_and_gradients_of_all_ranks_come_back(ranks):
    left = make_batch()[0]
    for rank, found in enumerate(ranks):
        gathered, gradient, half = found["weighted"]
        assert torch.equal(gathered, left) and torch.equal(half, left.bfloat16())
        rows = own_rows(torch.arange(float(NUM_PAIRS)), rank)
        assert torch.equal(gradient, (11 * rows)[:, None].expand(-1, 6))
        assert found["offset"] == rank * NUM_PAIRS // NUM_RANKS and found["rank"] == rank
        assert torch.equal(found["ids"], torch.arange(NUM_PAIRS)[:, None] + 2**60)  # integers, to the last digit


@NAMES
@pytest.mark.parametrize("way", ["loss", "cached_loss"])
def test_losses_of_ranks_add_up_to_the_loss_of_one_process(ranks, name, way):
    torch.testing.assert_close(sum(found[name][way] for found in ranks), single_process(name)[0])


@NAMES
@pytest.mark.parametrize("way", ["gradients", "cached"])
def test_gradients_of_ranks_are_those_of_one_process(ranks, name, way):
    expected = single_process(name)[1]
    for side in (0, 1):
        joined = torch.cat([found[name][way][side] for found in ranks])
        torch.testing.assert_close(joined, expected[side], rtol=1e-6, atol=1e-6)
    for scalar in (2, 3):  # scale and bias: shares that add up
        torch.testing.assert_close(sum(found[name][way][scalar] for found in ranks), expected[scalar])


@NAMES
def test_the_mean_over_ranks_of_parameters_gradients_is_the_gradient_of_one_process(ranks, name):
    for parameter, expected in single_process(name)[2].items():
        mean = sum(found[name]["parameters"][parameter] for found in ranks) / NUM_RANKS
        torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-6)


def test_without_a_process_group_features_stay_as_they_are():
    query, key = torch.eye(2), torch.ones(2, 2)
    gathered = gather_features(query, key)
    assert gathered.query_ND is query and gathered.key_ND is key and gathered.offset == 0
    assert rank_of() == 0
