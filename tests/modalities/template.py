"""What every modality owes, as one class of tests: a modality's own tests inherit it and say what its data is."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from hf_unlab.evaluation.features import baseline_features, features_of
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.settings import named_columns
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.finetuning import finetune_classifier, predict_classes


class ModalityTemplate:
    """Tests of a modality on a tiny checkpoint; with dropout, so that a forgotten eval mode shows."""

    name: str
    auto_class = None  # of the library, which loads a saved classifier
    fit: ClassVar[dict] = {"num_steps": 30, "learning_rate": 5e-3}

    def save(self, folder) -> None:
        """Writes a tiny checkpoint."""
        raise NotImplementedError

    def labelled(self, num: int, seed: int) -> tuple[list, np.ndarray]:
        """Inputs of unlike sizes, and which of two classes they are of: easily told apart."""
        raise NotImplementedError

    @pytest.fixture
    def load(self, tmp_path):
        """Loads the encoder of the checkpoint, on the CPU."""
        torch.manual_seed(0)
        with alone_and_quiet():
            self.save(tmp_path / "checkpoint")
        modality = get_modality(self.name)

        def load(**options):
            with alone_and_quiet():
                return modality.load_encoder(tmp_path / "checkpoint", **options)

        return load

    def classifier(self, encoder, num_classes=2, seed=0):
        with alone_and_quiet():
            return encoder.classifier(num_classes, seed)

    def test_features_do_not_depend_on_the_batch(self, load) -> None:
        encoder, (inputs, _) = load(), self.labelled(9, 0)
        features = features_of(encoder, inputs)
        assert features.shape[0] == 9 and features.dtype == np.float32 and np.isfinite(features).all()
        np.testing.assert_allclose(features_of(encoder, inputs[::-1])[::-1], features, atol=1e-5)
        np.testing.assert_allclose(
            np.concatenate([features_of(encoder, [one]) for one in inputs]), features, atol=1e-5
        )
        np.testing.assert_array_equal(features_of(encoder, inputs), features)

    def test_batches_hold_each_input_once(self, load) -> None:
        encoder, (inputs, _) = load(), self.labelled(9, 0)
        seen = []
        for indices, batch in encoder.batches(inputs):
            alike = encoder.collate([inputs[i] for i in indices])
            assert batch.keys() == alike.keys() and all(len(tensor) == len(indices) for tensor in batch.values())
            assert all(torch.equal(tensor, alike[key]) for key, tensor in batch.items())
            assert {tensor.device.type for tensor in batch.values()} == {"cpu"}
            seen += indices.tolist()
        assert sorted(seen) == list(range(9))

    def test_the_model_is_left_as_it_was(self, load) -> None:
        encoder, (inputs, _) = load(), self.labelled(3, 0)
        encoder.model.train()
        part = next(encoder.model.children())
        part.eval()  # frozen by its user
        state = {name: value.clone() for name, value in encoder.model.state_dict().items()}
        features_of(encoder, inputs)
        assert encoder.model.training and not part.training
        with pytest.raises(Exception, match=r".+"):
            features_of(encoder, [object()])
        assert encoder.model.training and not part.training
        assert all(torch.equal(value, state[name]) for name, value in encoder.model.state_dict().items())

    def test_nothing_to_embed_is_a_mistake(self, load) -> None:
        with pytest.raises(ValueError, match=r"nothing to read in 0 inputs|no recording"):
            features_of(load(), [])
        with pytest.raises(ValueError, match="layer is 'last'"):
            features_of(load(), self.labelled(1, 0)[0], layer="last")

    def test_random_weights_are_drawn_from_the_seed(self, load) -> None:
        inputs, _ = self.labelled(3, 0)
        generator = torch.get_rng_state()
        first, again, other, pretrained = (
            features_of(load(**options), inputs)
            for options in (
                *({"random_weights": True, "seed": seed} for seed in (1, 1, 2)),
                {},
            )
        )
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-3 and np.abs(first - pretrained).max() > 1e-3
        assert first.shape == pretrained.shape
        assert torch.equal(torch.get_rng_state(), generator)

    def test_classifiers_are_drawn_from_the_seed(self, load) -> None:
        weights = {}
        for is_random in (False, True):
            encoder = load(random_weights=is_random)
            generator = torch.get_rng_state()
            first, again, other = (self.classifier(encoder, 3, seed).state_dict() for seed in (0, 0, 1))
            assert torch.equal(torch.get_rng_state(), generator)
            assert all(torch.equal(value, again[name]) for name, value in first.items())
            weights[is_random] = {name for name, value in first.items() if not torch.equal(value, other[name])}
            assert all(value.dtype == torch.float32 for value in first.values() if value.is_floating_point())
        assert weights[False], "the head is new"
        assert weights[False] < weights[True], "the rest is pretrained, or random"

    def test_classifiers_answer_alike_in_any_batch(self, load) -> None:
        encoder, (inputs, _) = load(), self.labelled(7, 1)
        classifier = self.classifier(encoder, 3).eval()
        with torch.no_grad():
            for indices, batch in encoder.batches(inputs):
                logits_BC = classifier(**batch).logits
                assert logits_BC.shape == (len(indices), 3)
                alone = [classifier(**encoder.collate([inputs[i]])).logits[0] for i in indices]
                torch.testing.assert_close(torch.stack(alone), logits_BC, atol=1e-5, rtol=0)

    def test_a_fit_learns(self, load) -> None:
        encoder, (inputs, labels) = load(), self.labelled(24, 0)
        classifier = self.classifier(encoder)
        finetune_classifier(classifier, encoder, inputs, labels, **self.fit)
        unseen, right = self.labelled(20, 1)
        assert (predict_classes(classifier, encoder, inputs) == labels).mean() > 0.9
        assert (predict_classes(classifier, encoder, unseen) == right).mean() > 0.8

    def test_a_saved_classifier_is_the_librarys(self, load, tmp_path) -> None:
        if self.auto_class is None:
            pytest.skip("no library has a class for it")
        encoder, (inputs, _) = load(), self.labelled(3, 0)
        classifier = self.classifier(encoder, 3)
        classifier.save_pretrained(tmp_path / "saved")
        with alone_and_quiet():
            again = self.auto_class.from_pretrained(tmp_path / "saved")
        assert type(again) is type(classifier) and again.config.num_labels == 3
        batch = encoder.collate(inputs[:1])
        with torch.no_grad():
            torch.testing.assert_close(again.eval()(**batch).logits, classifier.eval()(**batch).logits)

    # peft asks transformers by an old name
    @pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
    def test_lora_trains(self, load) -> None:
        encoder, (inputs, labels) = load(), self.labelled(4, 0)
        classifier = get_peft_model(self.classifier(encoder), LoraConfig(r=2, target_modules=encoder.lora_modules))
        before = {name: value.clone() for name, value in classifier.state_dict().items()}
        finetune_classifier(classifier, encoder, inputs, labels, num_steps=2, learning_rate=1e-2)
        moved = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
        adapted = {name for name in before if "lora_B" in name}
        assert adapted and len(moved & adapted) >= len(adapted) / 2
        assert all("lora_" in name or "running_" in name or "num_batches" in name for name in moved)

    def test_baselines_are_features_of_pool_and_test(self, load) -> None:
        encoder, (pool, labels), (test, right) = load(), self.labelled(24, 0), self.labelled(10, 1)
        baselines = get_modality(self.name).make_baselines(encoder, ())
        assert baselines
        for baseline in baselines:
            pool_ND, test_ND = baseline_features(baseline, pool, test)
            assert pool_ND.shape[0] == 24 and test_ND.shape == (10, pool_ND.shape[1])
            settings = {name: getattr(baseline, name) for name in ("standardised", "inverse_regularisation")}
            probe = linear_probe(baseline.name, pool_ND, labels, test_ND, **settings)
            assert (probe(np.arange(24)) == right).mean() > 0.8

    def test_the_value_is_complete(self) -> None:
        modality = get_modality(self.name)
        assert modality.name == self.name and modality.column in modality.raw_columns
        assert named_columns(modality.few_label_settings())[modality.column] == modality.column
        assert named_columns(modality.data_settings()).keys() == set(modality.raw_columns)
