"""From examples to what the student reads and what the teacher reads of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.modality import Encoder
from hf_unlab.objectives.distillation.crops import Crop
from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.loader import Place


@dataclass(frozen=True)
class TeachingCollator:
    """The same crop of each example, as either model reads it.

    Args:
        column: With the decoded input.
        crop: Of the modality.
        student: Makes the student's batches.
        teacher: Makes the teacher's; the weights of neither are needed.
        seed: The crops of micro-batch k are drawn by a generator seeded with (seed, k); None draws none.
    """

    column: str
    crop: Crop
    student: Encoder
    teacher: Encoder
    seed: int | None = None

    def __call__(self, examples: list[Example], place: Place) -> dict[str, Any]:
        """Make micro-batch k.

        Args:
            examples: B decoded ones.
            place: Its number k in the run.

        Returns:
            `student` and `teacher`, each a batch of the same N examples; `rows` (N,), which of the B they are: those
            in which both find something to read; and `num_items` (), N.

        Raises:
            ValueError: There is nothing to read in any.
        """
        rng = None if self.seed is None else np.random.default_rng((self.seed, place.k))
        inputs = [self.crop(example[self.column], rng) for example in examples]
        is_read = (self.student.sizes(inputs) > 0) & (self.teacher.sizes(inputs) > 0)
        rows_N = np.flatnonzero(is_read)
        if not len(rows_N):
            raise ValueError(f"There is no token in any of {len(inputs)} examples, such as {inputs[0]!r}.")
        inputs = [inputs[row] for row in rows_N]
        return {
            "student": self.student.collate(inputs),
            "teacher": self.teacher.collate(inputs),
            "rows": torch.from_numpy(rows_N),
            "num_items": torch.tensor(len(inputs)),
        }
