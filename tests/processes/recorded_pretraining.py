"""The recipe, with a note of every micro-batch: the step it was in, and a hash of its tokens and masks."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from hf_unlab.objectives.masked_lm import trainer as masked_lm
from tests.processes.launching import pretrain


class RecordingTrainer(masked_lm.MaskedLMTrainer):
    def compute_objective(self, model, batch):
        if model.training:
            content = b"".join(batch[name].numpy().tobytes() for name in ("input_ids", "labels"))
            note = {"step": self.state.global_step, "batch": hashlib.sha256(content).hexdigest()}
            note |= {"world_size": self.args.world_size, "workers": self.args.dataloader_num_workers}
            with Path(self.args.output_dir, f"batches-{os.getpid()}.jsonl").open("a") as file:
                file.write(json.dumps(note) + "\n")
        return super().compute_objective(model, batch)


def pretrain_recorded(argv):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masked_lm, "MaskedLMTrainer", RecordingTrainer)
        pretrain(argv)
