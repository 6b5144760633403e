"""One pass through the training examples: each once, whoever reads it."""

import numpy as np
import pytest

from hf_unlab.objectives.clusters import embedding
from hf_unlab.objectives.clusters.collator import HASH
from hf_unlab.objectives.clusters.embedding import Embedded, Embedder, TrainingPass, decoded, joined, read_once
from hf_unlab.streams.bad_examples import BadExample
from tests.objectives.clusters.helpers import IMAGES, make_images, stream


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """Of data in which each image stands twice, and one is broken."""
    broken = {**IMAGES[0], "image": {"bytes": b"no image", "path": None}}
    rows = [*IMAGES, broken, *IMAGES]
    return make_images(tmp_path_factory.mktemp("run"), data=stream(rows), group_column="speaker")


@pytest.fixture
def plan(trainer):
    return trainer.get_train_dataloader().plan


def hashes(examples):
    return [example[HASH] for example in examples]


def test_the_readers_of_a_pass_read_each_example_and_neither_bad_nor_held_out_ones(trainer, plan):
    read = [one for reader in range(plan.num_readers) for one in hashes(read_once(plan, reader, 0))]
    held_out = {trainer.make_decode()(row)[HASH] for row in trainer.held_out()}
    different = {row["image"]["bytes"] for row in IMAGES}
    assert len(set(read)) == len(different) - len(held_out) and not held_out & set(read)
    assert len(read) > len(set(read))


def test_the_first_and_the_rest_are_all_and_a_reader_gives_each_content_once(plan):
    whole = TrainingPass(plan, 0, 1, 10**6)
    everything = hashes(whole.first())
    assert len(set(everything)) > 100 and not list(whole.rest())
    alone = hashes(TrainingPass(plan, 0, plan.num_readers, 10**6).first())
    assert len(set(alone)) == len(alone) > 10
    cut = TrainingPass(plan, 0, 1, 40)
    first, rest = hashes(cut.first()), hashes(cut.rest())
    assert len(first) == 40 and set(first) | set(rest) == set(everything)


def test_two_processes_share_what_one_would_read(plan):
    one = TrainingPass(plan, 0, 1, 40)
    two = [TrainingPass(plan, rank, 2, 40) for rank in range(2)]
    assert set(hashes(one.first())) == {h for part in two for h in hashes(part.first())}
    assert set(hashes(one.rest())) == {h for part in two for h in hashes(part.rest())}


def test_a_fault_of_the_network_costs_no_example(plan, monkeypatch):
    expected = hashes(read_once(plan, 0, 0))
    given, made = embedding.with_retries, []

    def faulty(read, reopen, **named):
        made.append(None)
        if len(made) == 7:
            reopen()  # as behind a fault
        return given(read, reopen, **named)

    monkeypatch.setattr(embedding, "with_retries", faulty)
    assert hashes(read_once(plan, 0, 0)) == expected and len(made) > 7


def test_embedding_keeps_hash_features_and_group(trainer):
    examples = [trainer.make_decode()(row) for row in IMAGES[:5]]
    embed = Embedder(trainer._live_encoder(), "image", "speaker")
    part = embed(examples)
    assert part.hashes_N.tolist() == hashes(examples) and part.groups.tolist() == list("abcab")
    assert part.features_ND.shape == (5, 16)
    assert Embedder(trainer._live_encoder(), "image")(examples).groups.tolist() == [""] * 5
    assert [len(one.hashes_N) for one in embed.in_chunks(iter(examples * 60))] == [256, 44]


def test_parts_are_joined_in_the_order_of_their_hashes_whoever_made_them():
    def part(*numbers):
        values = np.array(numbers)
        return Embedded(values, values[:, None].astype(np.float32), np.array([str(n) for n in numbers]))

    one, other = joined([part(5, -2), part(3, 5)]), joined([part(3, 5), part(5, -2)])
    assert one.hashes_N.tolist() == [-2, 3, 5] == other.hashes_N.tolist()
    assert one.features_ND.ravel().tolist() == [-2, 3, 5] and one.groups.tolist() == ["-2", "3", "5"]
    assert joined([]) is None


def test_a_bad_example_is_none():
    def refuse(example):
        raise BadExample("no")

    assert decoded({"n": 1}, refuse) is None and decoded({"n": 1}, None) == {"n": 1}
