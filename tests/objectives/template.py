"""What every objective owes: a test class inherits it, and says how to make a tiny trainer."""

import dataclasses
from typing import ClassVar

import pytest
import torch

from hf_unlab.streams.loader import Place
from tests.training.helpers import At, stop

# Another value of the settings that all objectives have in common.
COMMON = {"seed": 1, "data_seed": 1, "shuffle_block_size": 7, "validation_fraction": 0.3}


class ObjectiveTemplate:
    # (last saved step before the cut, workers before and after it, accumulation)
    cuts = ((3, (0, 0), 1), (6, (0, 2), 2), (9, (2, 0), 1))
    fixed: ClassVar[dict] = {}  # another value of each of its own settings with `metadata={"fixed": True}`
    column = "text"  # whose content a bad example lacks

    def make(self, folder, callbacks=None, rows=None, **settings):
        """A trainer: 12 steps, logged every 4, saved every 3, with all that is random in it switched on."""
        raise NotImplementedError

    def rows(self):
        """The raw examples that it trains on by default."""
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
        fixed = {one.name for one in dataclasses.fields(first.args) if one.metadata.get("fixed")}
        others = {**COMMON, **self.fixed}
        assert fixed == {*others, "validation_column"}
        for name, value in others.items():
            with pytest.raises(ValueError, match=f"was made with.* {name}="):
                self.make(tmp_path, **{name: value}).train(resume_from_checkpoint="auto")

    def test_evaluation_draws_nothing_and_leaves_all_as_it_was(self, tmp_path):
        trainer = self.make(tmp_path)
        trainer.model.train()
        before = torch.get_rng_state(), [module.training for module in trainer.model.modules()]
        first = trainer.evaluate()
        torch.manual_seed(5)
        second = trainer.evaluate()
        torch.set_rng_state(before[0])
        assert [module.training for module in trainer.model.modules()] == before[1]
        timing = ("runtime", "per_second")
        assert all(second[name] == value for name, value in first.items() if not name.endswith(timing))

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
        reader = trainer.get_train_dataloader().plan.build(0)
        examples, _ = reader.next_batch()
        collate = trainer._loader.collate
        one, same, other = (flat(collate(examples, Place(k))) for k in (3, 3, 4))
        assert one.keys() == same.keys()
        assert all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(same[name])) for name in one)
        assert any(
            one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
            for name in one
            if torch.is_tensor(one[name])
        )
        assert all(any(name.endswith(f"num_{unit}") for name in one) for unit in trainer.units)

    def test_a_term_s_sum_and_count_are_those_of_its_unit(self, tmp_path):
        trainer = self.make(tmp_path)
        trainer.model.eval()
        trainer._step_batches = batches = [next(iter(trainer.get_train_dataloader()))]
        output = trainer.compute_objective(trainer.model, trainer._prepare_inputs(batches[0]))
        for term in output.terms.values():
            assert term.unit in trainer.units and term.sum.ndim == 0 and torch.isfinite(term.sum)
            assert int(term.count) > 0

    def test_bad_examples_are_skipped_and_counted(self, tmp_path):
        rows = self.rows()
        bad = [{**row, self.column: None} for row in rows[:3]]
        trainer = self.make(tmp_path, rows=[*rows, *bad], max_bad_fraction=1.0)
        trainer.train()
        (source, *_) = trainer._progress()
        assert 0 < source.tally.num_bad <= 3 * (source.num_epochs + trainer._loader.plan.num_readers)


def flat(batch):
    """A batch of several lanes, its names joined."""
    parts = {
        name: {f"{name}/{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
        for name, value in batch.items()
    }
    return {name: value for part in parts.values() for name, value in part.items()}


def logged(trainer):
    """The lines of training, without the clock's."""
    return [
        {name: value for name, value in line.items() if not name.endswith("per_second")}
        for line in trainer.state.log_history
        if "loss" in line
    ]
