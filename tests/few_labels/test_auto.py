"""The rows that choose for themselves: what a classifier that is kept would answer, and never from the test."""

import numpy as np
import pytest
import torch

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels import auto, views
from hf_unlab.few_labels.auto import AUTO, AUTO_TWICE, auto_rows
from hf_unlab.few_labels.frozen import FrozenSettings, fit_frozen
from hf_unlab.few_labels.pool import PoolOfViews
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.testing import tiny_dual_encoder, tiny_static_model
from tests.few_labels.test_frozen import DATA, TEST
from tests.modalities.image.test_encoder import noisy_colours

POOL = DATA.take(np.arange(80))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return tiny_static_model().encoder()


def test_they_answer_as_the_classifier_that_is_kept(tmp_path) -> None:
    torch.manual_seed(0)
    tiny_static_model().save_pretrained(tmp_path)
    encoder = get_modality("text").load_encoder(tmp_path)
    drawn = sample_few_labels(POOL.labels, 5, 0)
    plain, twice = auto_rows("pretrained", encoder, [TF_IDF], POOL, TEST)
    assert (plain.method, twice.method) == (AUTO, AUTO_TWICE)
    rest = POOL.take(np.setdiff1d(np.arange(80), drawn))
    for row, second_use in ((plain, None), (twice, "both")):
        kept = fit_frozen(
            tmp_path,
            get_modality("text"),
            POOL.take(drawn),
            rest.inputs,
            settings=FrozenSettings(second_use=second_use),
        )
        answers = kept.probabilities(TEST.inputs)
        found = row.predict(drawn, 0)
        # the pool is in another order there, which a sum feels in its last digits
        np.testing.assert_allclose(found, answers, atol=0.02)


def test_labels_of_the_pool_that_were_not_drawn_change_nothing(encoder) -> None:
    drawn = sample_few_labels(POOL.labels, 5, 0)
    spoilt = POOL.labels.copy()
    others = np.setdiff1d(np.arange(80), drawn)
    spoilt[others] = 1 - spoilt[others]
    told = type(POOL)(POOL.inputs, spoilt, POOL.label_names)
    for row, other in zip(
        auto_rows("x", encoder, [TF_IDF], POOL, TEST), auto_rows("x", encoder, [TF_IDF], told, TEST), strict=True
    ):
        np.testing.assert_array_equal(row.predict(drawn, 0), other.predict(drawn, 0))


def test_what_other_rows_have_embedded_is_not_embedded_again_and_a_draw_is_fitted_once(encoder, monkeypatch) -> None:
    drawn, fits = sample_few_labels(POOL.labels, 5, 0), []
    wanted = [row.predict(drawn, 0) for row in auto_rows("x", encoder, [TF_IDF], POOL, TEST)]
    known = features_of(encoder, POOL.inputs), features_of(encoder, TEST.inputs)
    monkeypatch.setattr(views, "features_of", None)
    fit = PoolOfViews.fit
    monkeypatch.setattr(PoolOfViews, "fit", lambda self, *given: fits.append(given) or fit(self, *given))
    found = [row.predict(drawn, 0) for row in auto_rows("x", encoder, [TF_IDF], POOL, TEST, embed=lambda _: known)]
    np.testing.assert_array_equal(found, wanted)
    assert len(fits) == 1


def test_without_a_second_use_there_is_one_row(encoder) -> None:
    assert len(auto_rows("x", encoder, [TF_IDF], POOL, TEST, FrozenSettings(second_use=None))) == 1


def test_a_network_has_its_say_as_in_the_classifier_that_is_kept(tmp_path, monkeypatch) -> None:
    torch.manual_seed(0)
    tiny_dual_encoder().save_pretrained(tmp_path)
    modality = get_modality("image_text")
    encoder = modality.load_encoder(tmp_path)
    labels = np.arange(90) % 2
    images = noisy_colours(labels, 0)
    pool = LabelledData(images[:70], labels[:70], ("blue", "red"))
    test = LabelledData(images[70:], labels[70:], ("blue", "red"))
    fits, fit = [], auto.fit_tuned
    monkeypatch.setattr(auto, "fit_tuned", lambda *given: fits.append(given) or fit(*given))
    drawn = sample_few_labels(pool.labels, 3, 0)
    rows = auto_rows("x", encoder, modality.make_baselines(encoder, ()), pool, test)
    found = [row.predict(drawn, 0) for row in rows]
    assert len(fits) == 1  # for both rows
    rest = pool.take(np.setdiff1d(np.arange(70), drawn)).inputs
    for answers, second_use in zip(found, (None, "both"), strict=True):
        kept = fit_frozen(tmp_path, modality, pool.take(drawn), rest, settings=FrozenSettings(second_use=second_use))
        # those without label are asked in another order there
        np.testing.assert_allclose(answers, kept.probabilities(test.inputs), atol=0.05)
    rows = auto_rows("x", encoder, modality.make_baselines(encoder, ()), pool, test, FrozenSettings(network="never"))
    assert np.abs(rows[0].predict(drawn, 0) - found[0]).max() > 1e-3 and len(fits) == 1
