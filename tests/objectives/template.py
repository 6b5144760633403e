"""What every objective owes: a test class inherits it, and says how to make a tiny trainer."""

import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch

from hf_unlab.streams.loader import Place
from hf_unlab.training.data_log import source_key
from hf_unlab.training.stopping import count_items
from hf_unlab.training.trainer import share_of_step
from tests.training.helpers import At, stop

# Another value of the settings that all objectives have in common.
COMMON = {"seed": 1, "data_seed": 1, "shuffle_block_size": 7, "validation_fraction": 0.3}


class ObjectiveTemplate:
    # (last saved step before the cut, workers before and after it, accumulation)
    cuts = ((3, (0, 0), 1), (6, (0, 2), 2), (9, (2, 0), 1))
    fixed: ClassVar[dict] = {}  # another value of each of its own settings with `metadata={"fixed": True}`
    column = "text"  # one whose content a bad example lacks

    def make(self, folder, callbacks=None, rows=None, **settings):
        """A trainer: 12 steps, logged every 4, saved every 3, with all that is random in it switched on."""
        raise NotImplementedError

    def rows(self):
        """A new list of the raw examples that it trains on by default."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc):
        if "cut" in metafunc.fixturenames:
            metafunc.parametrize("cut", self.cuts)

    def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(self, tmp_path, cut):
        last_save, workers, accumulation = cut
        settings = {"gradient_accumulation_steps": accumulation}
        whole = self.make(tmp_path / "whole", **settings)
        whole.train()
        folder = tmp_path / "cut"
        # it goes one step further than its last checkpoint, inside a logging window
        self.make(folder, [At(last_save + 1, stop)], dataloader_num_workers=workers[0], **settings).train()
        second = self.make(folder, dataloader_num_workers=workers[1], **settings)
        second.train(resume_from_checkpoint="auto")
        assert logged(second) == logged(whole) and len(logged(whole)) == 3
        for part in ("model", "auxiliary"):
            states = [getattr(one, part).state_dict() for one in (second, whole)]
            assert states[0].keys() == states[1].keys()
            assert all(torch.equal(value, states[1][name]) for name, value in states[0].items()), part
        assert second.evaluate()["eval_loss"] == whole.evaluate()["eval_loss"]

    def test_every_fixed_setting_is_refused_when_a_run_resumes(self, tmp_path):
        first = self.make(tmp_path, [At(3, stop)])
        first.train()
        others = {**COMMON, **self.fixed}
        assert first.args.fixed().keys() == {*others, "validation_column"}
        for name, value in others.items():
            with pytest.raises(ValueError, match=f"was made with.* {name}="):
                self.make(tmp_path, **{name: value}).train(resume_from_checkpoint="auto")

    def test_evaluation_draws_nothing_and_leaves_all_as_it_was(self, tmp_path):
        trainer = self.make(tmp_path)
        parts = [*trainer.model.modules(), *trainer.auxiliary.modules()]
        for number, part in enumerate(parts):
            part.training = bool(number % 3)  # as of a frozen tower, or a teacher
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), [part.training for part in parts]
        first = trainer.evaluate()
        assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]
        assert [part.training for part in parts] == before[2]
        torch.manual_seed(5)
        trainer.state.global_step = 1000
        assert timeless(trainer.evaluate()) == timeless(first)

    def test_what_the_console_is_told_to_show_is_logged(self, tmp_path):
        trainer = self.make(tmp_path)
        trainer.train()
        trainer.evaluate()
        known = {name.removeprefix("eval_") for line in trainer.state.log_history for name in line}
        shown = {name for line in trainer.metric_lines.values() for name in line.values()}
        # what depends on further data, such as a zero-shot accuracy, need not be there
        assert {"loss", trainer.leading_metrics[0], *shown, f"{trainer.input_unit}_per_second"} <= known

    def test_micro_batches_depend_on_the_seed_and_their_number_alone(self, tmp_path):
        trainer = self.make(tmp_path)
        loader = trainer.get_train_dataloader()
        examples, _ = loader.plan.build(0).next_batch()
        one = flat(loader.collate(examples, Place(3)))
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        assert same(flat(loader.collate(examples, Place(3))), one)
        assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]
        assert not same(flat(loader.collate(examples, Place(4))), one)
        others = self.make(tmp_path, seed=1).get_train_dataloader().collate
        assert not same(flat(others(examples, Place(3))), one)

    def test_what_reads_can_be_sent_to_spawned_workers(self, tmp_path):
        loader = self.make(tmp_path).get_train_dataloader()
        plan, collate = pickle.loads(pickle.dumps((loader.plan, loader.collate)))
        examples, theirs = (one.build(0).next_batch()[0] for one in (loader.plan, plan))
        assert same(flat(collate(theirs, Place(3))), flat(loader.collate(examples, Place(3))))

    def test_the_counts_of_terms_are_those_that_batches_say(self, tmp_path):
        """Else the mean that is logged would not be what the step is divided by."""
        trainer = self.make(tmp_path)
        trainer.model.eval()
        batch = next(iter(trainer.get_eval_dataloader()))
        output = trainer.compute_objective(trainer.model, trainer._prepare_inputs(batch))
        assert output.terms
        for name, term in output.terms.items():
            assert term.unit in trainer.units, name
            assert int(term.count) == count_items([batch], term.unit) > 0, name
            assert term.sum.ndim == 0 and torch.isfinite(term.sum), name
        divisors = {unit: torch.tensor(7) for unit in trainer.units}
        by_hand = sum(term.weight * term.sum / 7 for term in output.terms.values())
        torch.testing.assert_close(share_of_step(output.terms, divisors), by_hand)

    def test_bad_examples_are_skipped_counted_and_never_held_out(self, tmp_path):
        rows = self.rows()
        for number in range(0, len(rows), 5):
            rows[number] = {**rows[number], self.column: None}
        trainer = self.make(tmp_path, rows=rows, max_bad_fraction=1.0)
        trainer.train()
        (source, *others) = trainer._progress()
        assert source.tally.num_bad > 0
        assert logged(trainer)[-1][source_key(source.name, "skipped", 1 + len(others))] == source.tally.num_bad
        assert all(row[self.column] is not None for row in trainer.held_out())
        with pytest.raises(ValueError, match="Too many bad examples"):
            self.make(tmp_path / "strict", rows=rows, max_bad_fraction=0.0).train()

    def test_files_given_by_their_paths_are_held_out_as_those_given_by_their_bytes(self, tmp_path):
        """So copies of one file are on one side, and those held out outlast the files."""
        rows = self.rows()
        is_cell = isinstance(rows[0][self.column], dict)
        trainer = self.make(tmp_path / "bytes", rows=rows)
        assert (self.column in trainer.file_columns) == is_cell
        if not is_cell:
            return
        by_path = []
        for number, row in enumerate(rows):
            path = tmp_path / str(number)
            path.write_bytes(row[self.column]["bytes"])
            by_path.append({**row, self.column: str(path)})
        expected, held_out = (
            [row[self.column]["bytes"] for row in one.held_out()]
            for one in (trainer, self.make(tmp_path / "paths", rows=by_path))
        )
        assert sorted(held_out) == sorted(expected) != []


def flat(batch):
    """A batch of several lanes, its names joined."""
    parts = {
        name: {f"{name}/{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
        for name, value in batch.items()
    }
    return {name: value for part in parts.values() for name, value in part.items()}


def same(one, other):
    """Whether two batches are equal."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def logged(trainer):
    """The lines of training, without the clock's."""
    return [timeless(line) for line in trainer.state.log_history if "loss" in line]


def timeless(line):
    return {name: value for name, value in line.items() if not name.endswith(("runtime", "per_second"))}
