"""Gradient caching against the whole batch in memory: dropout on, both losses, any tower, autocast, two processes."""

import functools

import pytest
import torch
import torch.distributed as dist
from open_clip.transformer import PatchDropout
from torch.nn.parallel import DistributedDataParallel

from hf_unlab.losses.contrastive import info_nce_loss, sigmoid_loss
from hf_unlab.losses.distributed import gather_features
from hf_unlab.losses.gradient_cache import CachedBatch
from hf_unlab.testing import tiny_dual_encoder
from tests.modalities.image_text.dual_encoders import make

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads
LOSSES = {"info_nce": functools.partial(info_nce_loss, chunk_size=3), "sigmoid": sigmoid_loss}
NUM_CHUNKS, CHUNK_SIZE, NUM_RANKS = 3, 4, 2
TEXTS = [f"a red square {number}" for number in range(NUM_CHUNKS * CHUNK_SIZE)]


def with_dropout(kind):
    """A dual encoder whose forward depends on random numbers."""
    if kind == "transformers":
        torch.manual_seed(0)
        model = tiny_dual_encoder(attention_dropout=0.3)
    else:
        model = make(kind)
        model.model.visual.patch_dropout = PatchDropout(0.5)
    return model.train()


def chunks_of(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = model.image_size
    for begin in range(0, len(TEXTS), CHUNK_SIZE):
        pixels = torch.randn(CHUNK_SIZE, 3, size, size, generator=generator)
        yield {"pixel_values": pixels, **model.tokenize(TEXTS[begin : begin + CHUNK_SIZE])}


def encode(model, chunk):
    return model(**chunk)


def loss_of_all(model, chunks, loss_fn, gather=None):
    """Every chunk encoded with its graph kept: what caching saves the memory of."""
    outputs = [encode(model, chunk) for chunk in chunks]
    query, key = (torch.cat(each) for each in list(zip(*outputs, strict=True))[:2])
    return loss_fn(query, key, *outputs[-1][2:], gathered=gather and gather(query, key))


def cached_losses(model, chunks, loss_fn, gather=None, backward=torch.Tensor.backward):
    batch = CachedBatch(functools.partial(encode, model), chunks, loss_fn, gather)
    values = []
    for _ in chunks:
        loss = batch.next_loss()
        backward(loss)
        values.append(loss.detach())
    return values


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_close(ours, theirs, tolerance=1e-5):
    assert ours.keys() == theirs.keys() and ours
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).abs().max() <= tolerance * largest, name


@pytest.mark.parametrize("kind", ["transformers", "open_clip", "open_clip-own-tokenizer"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_with_dropout_are_those_of_the_whole_batch(name, kind):
    expected, model = with_dropout(kind), with_dropout(kind)
    torch.manual_seed(7)
    loss = loss_of_all(expected, list(chunks_of(expected)), LOSSES[name])
    loss.backward()
    state = torch.get_rng_state()
    torch.manual_seed(7)
    values = cached_losses(model, list(chunks_of(model)), LOSSES[name])
    assert torch.equal(torch.get_rng_state(), state)  # as if each chunk had been encoded once
    torch.testing.assert_close(values[0], loss.detach(), rtol=1e-6, atol=0)
    assert values[1:] == [0, 0]
    ours, theirs = gradients(model), gradients(expected)
    if name == "info_nce":  # which does not read the bias: zeros for DDP's sake
        theirs |= {key: torch.zeros_like(value) for key, value in ours.items() if key not in theirs}
        assert len(theirs) - len(gradients(expected)) <= 1
    assert_close(ours, theirs)


def test_random_numbers_matter_here():
    """Else the test above would pass without replaying them."""
    model = with_dropout("transformers")
    chunk = next(chunks_of(model))
    assert not torch.equal(encode(model, chunk)[0], encode(model, chunk)[0])


@pytest.mark.parametrize("name", LOSSES)
def test_without_dropout_it_is_one_forward_of_the_whole_batch(name):
    expected, model = (make("open_clip-own-tokenizer") for _ in range(2))
    chunks = list(chunks_of(model))
    whole = {key: torch.cat([chunk[key] for chunk in chunks]) for key in chunks[0]}
    LOSSES[name](*encode(expected, whole)).backward()
    cached_losses(model, chunks, LOSSES[name])
    theirs = {**{key: torch.zeros_like(value) for key, value in gradients(model).items()}, **gradients(expected)}
    assert_close(gradients(model), theirs)


def test_autocast_holds():
    expected, model = with_dropout("transformers"), with_dropout("transformers")
    for one, run in ((expected, loss_of_all), (model, None)):
        torch.manual_seed(7)
        with torch.autocast("cpu", torch.bfloat16):
            if run:
                loss = run(one, list(chunks_of(one)), info_nce_loss)
                loss.backward()
            else:
                values = cached_losses(one, list(chunks_of(one)), info_nce_loss)
    torch.testing.assert_close(values[0], loss.detach(), rtol=1e-6, atol=0)
    assert_close(gradients(model), gradients(expected), tolerance=2e-2)  # bfloat16 adds up in another order
    fp32 = with_dropout("transformers")
    torch.manual_seed(7)
    assert cached_losses(fp32, list(chunks_of(fp32)), info_nce_loss)[0] != values[0]


def test_uneven_chunks_and_too_many():
    model, expected = (tiny_dual_encoder().eval() for _ in range(2))
    expected.load_state_dict(model.state_dict())
    chunks = list(chunks_of(model))
    chunks[1] = {key: value[:1] for key, value in chunks[1].items()}
    loss_of_all(expected, chunks, info_nce_loss).backward()
    batch = CachedBatch(functools.partial(encode, model), chunks, info_nce_loss)
    for _ in chunks:
        batch.next_loss().backward()
    assert_close(gradients(model), gradients(expected))
    with pytest.raises(IndexError):
        batch.next_loss()


# ---- Two processes ----


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=NUM_RANKS)
    found = {}
    for name, loss_fn in LOSSES.items():
        for dropout in (True, False):
            for way in ("whole", "cached"):
                torch.manual_seed(0)
                core = (with_dropout if dropout else make)("open_clip-own-tokenizer")
                model = DistributedDataParallel(core)
                chunks = list(chunks_of(core, seed=rank))
                torch.manual_seed(rank)
                if way == "whole":
                    # one backward of several forwards is more than DDP takes: the mean over ranks by hand
                    loss_of_all(core, chunks, loss_fn, gather_features).backward()
                    for parameter in core.parameters():
                        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                        dist.all_reduce(parameter.grad)
                        parameter.grad /= NUM_RANKS
                else:
                    batch = CachedBatch(functools.partial(encode, model), chunks, loss_fn, gather_features)
                    for _ in chunks[:-1]:
                        with model.no_sync():
                            batch.next_loss().backward()
                    batch.next_loss().backward()
                found[name, dropout, way] = gradients(core)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.start_processes(work, (str(folder),), nprocs=NUM_RANKS, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(NUM_RANKS)]


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_under_ddp_have_the_gradients_of_the_whole_batch(ranks, name, dropout):
    for found in ranks:
        assert_close(found[name, dropout, "cached"], found[name, dropout, "whole"])


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_have_the_gradients_of_one(ranks, name):
    model = make("open_clip-own-tokenizer")
    chunks = [chunk for rank in range(NUM_RANKS) for chunk in chunks_of(model, seed=rank)]
    cached_losses(model, chunks, LOSSES[name])
    one = {key: value / NUM_RANKS for key, value in gradients(model).items()}  # DDP takes the mean
    assert_close(ranks[0][name, False, "cached"], one)
