"""How large batches and how long a run may be for so much data, and about how long it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_PRODUCT_SECONDS = 0.004  # of two matrices of 512 x 512, on a core of the machine that `COSTS` is of
LEAST_EXAMPLES = 40  # below, no batch holds enough that differ
FEW_EXAMPLES = 1000


@dataclass(frozen=True)
class Cost:
    """What a recipe's tiny.yaml asks of data and machine; seconds are those that its README measured on 2 CPU cores.

    Args:
        batch_size: Examples of a batch.
        num_readers: Streams that the data is read as.
        max_steps: Steps.
        passes: Passes over little data that are worth making.
        batches_per_reader: How many batches a reader needs in each pass.
        step_seconds: Of a step, without decoding.
        other_seconds: Of imports, reading, evaluation and saving.
        proof_seconds: Of the table of few labels.
    """

    batch_size: int
    num_readers: int
    max_steps: int
    passes: int
    batches_per_reader: int
    step_seconds: float
    other_seconds: float
    proof_seconds: float


COSTS = {
    "text_contrastive": Cost(256, 2, 600, 6, 4, 0.05, 30, 120),
    "image_text": Cost(192, 8, 1000, 25, 4, 0.22, 40, 90),
    "best_rq": Cost(32, 2, 700, 30, 1, 0.09, 25, 150),
    "clusters": Cost(32, 2, 510, 30, 1, 0.12, 40, 150),
    "clusters_images": Cost(128, 2, 600, 30, 1, 0.35, 60, 120),
}


@dataclass(frozen=True)
class Size:
    """What of a recipe is fitted to the data.

    Args:
        batch_size: Examples of a batch.
        num_readers: Streams that the data is read as.
        max_steps: Steps at most.
        num_steps: Steps that it will be, where passes end it sooner.
        validation_fraction: Share that is held out.
    """

    batch_size: int
    num_readers: int
    max_steps: int
    num_steps: int
    validation_fraction: float

    @property
    def num_read(self) -> int:
        """Examples read in all, each pass counted."""
        return self.batch_size * self.num_steps


def fit(recipe: str, number: int, validation_fraction: float) -> Size:
    """Batches, readers and steps for so many examples.

    Args:
        recipe: A key of `COSTS`.
        number: Examples there are.
        validation_fraction: What the recipe holds out of much data.

    Raises:
        ValueError: They are too few to pretrain on.

    Example:
        >>> fit("text_contrastive", 100_000, 0.02)
        Size(batch_size=256, num_readers=2, max_steps=600, num_steps=600, validation_fraction=0.02)
        >>> fit("text_contrastive", 300, 0.02)
        Size(batch_size=32, num_readers=1, max_steps=600, num_steps=100, validation_fraction=0.2)
    """
    if number < LEAST_EXAMPLES:
        raise ValueError(
            f"{number:,} example{'s are' if number != 1 else ' is'} too few to pretrain on: some thousand are "
            f"better, {LEAST_EXAMPLES} are the least. Take a checkpoint that others pretrained, and with labels "
            "hf-unlab finetune."
        )
    cost = COSTS[recipe]
    if number * validation_fraction < 100:
        validation_fraction = round(min(0.2, 100 / number), 3)
    num_train = int(number * (1 - validation_fraction) * 0.9)  # what is held out, or bad, or a reader's rest
    readers = max(1, min(cost.num_readers, num_train // (cost.batches_per_reader * cost.batch_size)))
    if cost.num_readers % readers:
        readers = max(n for n in range(1, readers + 1) if cost.num_readers % n == 0)
    batch = cost.batch_size
    while batch > 4 and batch * cost.batches_per_reader * readers > num_train:
        batch = 1 << ((batch - 1).bit_length() - 1)
    steps = min(cost.max_steps, max(100, cost.passes * number // batch))
    if recipe == "text_contrastive":  # its passes end it
        return Size(batch, readers, cost.max_steps, steps, validation_fraction)
    if recipe.startswith("clusters"):
        steps -= steps % 3  # its rounds are of as many each
    return Size(batch, readers, steps, steps, validation_fraction)


def slowness(clock: Callable[[], float]) -> float:
    """How many times longer than the machine that `COSTS` is of this one takes now, with what else it does.

    Args:
        clock: Tells seconds.

    Example:
        >>> ticks = iter([0.0, 0.16])
        >>> slowness(lambda: next(ticks))
        2.0
    """
    matrix = np.ones((512, 512), np.float32)
    started = clock()
    for _ in range(20):
        matrix @ matrix
    return float(np.clip((clock() - started) / 20 / _PRODUCT_SECONDS, 0.3, 10.0))


def seconds(recipe: str, size: Size, decode_seconds: float, has_proof: bool, slower: float = 1.0) -> float:
    """About how long a run takes, start to end.

    Args:
        recipe: A key of `COSTS`.
        size: From `fit`.
        decode_seconds: Of reading and decoding one example here.
        has_proof: Whether a table of few labels is made.
        slower: From `slowness`.

    Example:
        >>> round(seconds("text_contrastive", fit("text_contrastive", 100_000, 0.02), 0.0, False))
        60
    """
    cost = COSTS[recipe]
    step = cost.step_seconds * max(0.25, size.batch_size / cost.batch_size)
    computed = cost.other_seconds + size.num_steps * step + cost.proof_seconds * has_proof
    return slower * computed + decode_seconds * size.batch_size * size.num_steps  # which was timed here


def in_words(number: float) -> str:
    """A rough time, for people.

    Example:
        >>> [in_words(number) for number in (50, 130, 700, 9000)]
        ['about a minute', 'about 2 minutes', 'about 12 minutes', 'about 2.5 hours']
    """
    if number < 5400:
        minutes = max(1, round(number / 60))
        return "about a minute" if minutes == 1 else f"about {minutes} minutes"
    return f"about {number / 3600:.1f} hours"


def settings_of(size: Size, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that a recipe's file has otherwise for so much data.

    Args:
        size: From `fit`.
        given: What its file says.

    Example:
        >>> given = {"save_steps": 350, "eval_steps": 700, "logging_steps": 100, "max_steps": 700}
        >>> settings_of(fit("best_rq", 60, 0.05), given)["max_steps"]
        100
    """
    wanted: dict[str, Any] = {
        "per_device_train_batch_size": size.batch_size,
        "num_readers": size.num_readers,
        "max_steps": size.max_steps,
        "validation_fraction": size.validation_fraction,
    }
    if "per_device_eval_batch_size" in given:
        wanted["per_device_eval_batch_size"] = size.batch_size
    scale = size.max_steps / given["max_steps"]
    if scale < 1:
        for name in ("save_steps", "eval_steps", "logging_steps"):
            wanted[name] = max(1, round(given[name] * scale))
    return {name: value for name, value in wanted.items() if given.get(name) != value}
