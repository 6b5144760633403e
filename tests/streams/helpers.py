"""Streams of numbered examples, and readers of them that stop and go on: what the tests of data share."""

import itertools
import json

import numpy as np
import torch
from datasets import Dataset, IterableDataset

from hf_unlab.modalities.text.reading import pack_documents
from hf_unlab.streams.sources import Source, iterate, open_streams


def rows_of(shards):
    for one in shards:
        yield from ({"id": i} for i in one)


def sharded(sizes, first=0):
    """A stream of ids with shards of the given sizes."""
    ids = iter(range(first, first + sum(sizes)))
    shards = [list(itertools.islice(ids, size)) for size in sizes]
    return IterableDataset.from_generator(rows_of, gen_kwargs={"shards": shards})


def in_memory(size, first=0):
    """A data set of ids."""
    return Dataset.from_dict({"id": list(range(first, first + size))})


def other_column():
    """For a data set beside another one of as many rows."""
    yield from ({"other": i} for i in range(40))


def packed(rows, first, length=3):
    """The `prepare` of ids as documents of two tokens."""
    return pack_documents([[2 * row["id"], 2 * row["id"] + 1] for row in rows], length)


def id_of(example):
    """The id, or the token ids of a packed sequence."""
    return np.asarray(example["id"] if "id" in example else example["input_ids"]).tolist()


def collate_ids(examples, place):
    """Ids or token ids, and a draw that depends on k alone."""
    ids = torch.tensor([id_of(example) for example in examples])
    return {"k": torch.tensor(place.k), "ids": ids, "draw": torch.tensor(np.random.default_rng((1, place.k)).random())}


def read(reader, num_batches, source_of=None):
    """Batches of ids, and the state behind each as JSON.

    Where `source_of` knows the source of an id, what the reader says of it has to agree.
    """
    batches, states = [], []
    for _ in range(num_batches):
        examples, sources = reader.next_batch()
        batch = [id_of(example) for example in examples]
        assert source_of is None or [source_of(i) for i in batch] == sources
        batches.append(batch)
        states.append(json.dumps(reader.state_dict()))
    return batches, states


def resumed(plan, number, state):
    reader = plan.build(number)
    reader.load_state_dict(json.loads(state))
    return reader


def if_enough(do, *args):
    """What `do` returns; None where a reader's part has too few good examples, and it says so."""
    try:
        return do(*args)
    except ValueError as error:
        if "Too little data" not in str(error):
            raise
        return None


def write(path, content):
    """A file of texts or bytes; its path as a text."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def texts_of(*files, builder="json", **options):
    """The column `text` of files, as a run reads it."""
    (stream,) = open_streams(Source(builder, data_files=[*files], **options), ["text"])
    return [row["text"] for row in iterate(stream.stream)]
