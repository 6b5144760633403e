"""Views: scaled as a probe reads them, fitted without labels, by group where groups are known."""

import numpy as np
import pytest
import torch

from hf_unlab.evaluation.features import features_of, standardised_by_group
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.probes import Scaling
from hf_unlab.few_labels import views as module
from hf_unlab.few_labels.beside import embedding, normalised_by_group
from hf_unlab.few_labels.methods import probed
from hf_unlab.few_labels.views import views_of
from hf_unlab.modalities.audio.baseline import log_mel_baselines, log_mel_features
from hf_unlab.modalities.audio.encoder import AudioEncoder, MelEncoder
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.modalities.text.encoder import TextEncoder
from hf_unlab.testing import (
    tiny_bert,
    tiny_mel_model,
    tiny_static_model,
    tiny_texts,
    tiny_tokenizer,
    tiny_wav2vec2,
)

TEXTS = tiny_texts(30)


def test_features_of_norm_1_and_words_are_read_as_they_are() -> None:
    encoder = tiny_static_model().encoder()
    own, words = views_of(encoder, [TF_IDF], has_groups=False)
    np.testing.assert_array_equal(own.fit(TEXTS), features_of(encoder, TEXTS))
    known = TF_IDF.make_transformer().fit(TEXTS)
    assert (words.fit(TEXTS) != known.transform(TEXTS)).nnz == 0
    assert (words.features(TEXTS[:3]) != known.transform(TEXTS[:3])).nnz == 0
    assert own.prior > words.prior


def test_other_features_are_standardised_by_what_was_fitted_on() -> None:
    tokenizer = tiny_tokenizer()
    encoder = TextEncoder.of_model(tiny_bert(len(tokenizer)), tokenizer)
    (view,) = views_of(encoder, [], has_groups=False)
    raw = features_of(encoder, TEXTS)
    np.testing.assert_allclose(view.fit(TEXTS), Scaling.fitted(raw).apply(raw), atol=1e-4)
    np.testing.assert_allclose(view.features(TEXTS[:4]), Scaling.fitted(raw).apply(raw[:4]), atol=1e-4)


def test_many_features_are_read_along_their_main_directions(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_FEATURES", 4)
    tokenizer = tiny_tokenizer()
    (view,) = views_of(TextEncoder.of_model(tiny_bert(len(tokenizer)), tokenizer), [], has_groups=False)
    found = view.fit(TEXTS)
    assert found.shape == (30, 4) and view.features(TEXTS[:2]).shape == (2, 4)
    assert np.square(found).sum(0)[0] >= np.square(found).sum(0)[3]


def test_groups_are_taken_out_where_they_are_known() -> None:
    torch.manual_seed(0)
    model, extractor = tiny_wav2vec2()
    encoder = AudioEncoder.of_model(model, extractor)
    rng = np.random.default_rng(0)
    sounds, groups = [rng.normal(size=2000) for _ in range(8)], list("aabbaabb")
    views = views_of(encoder, log_mel_baselines(8000, groups), has_groups=True)
    assert [view.is_by_group for view in views] == [False, True, False, True]
    found = [view.fit(sounds, groups) for view in views]
    raw = standardised_by_group(features_of(encoder, sounds), groups)
    np.testing.assert_allclose(found[1], Scaling.fitted(raw).apply(raw), atol=1e-3)
    by_hand = standardised_by_group(log_mel_features(sounds, 8000, groups), groups)
    np.testing.assert_allclose(found[3], Scaling.fitted(by_hand).apply(by_hand), atol=1e-3)
    # other recordings by other people: groups of their own
    assert views[3].features(sounds[:4], list("ccdd")).shape == (4, 120)
    assert len(views_of(encoder, log_mel_baselines(8000), has_groups=False)) == 2


def test_an_encoder_of_normalised_groups_gets_them_in_every_row() -> None:
    torch.manual_seed(0)
    model, extractor = tiny_mel_model()
    model.config.mel_normalisation = "group"
    encoder = MelEncoder.of_model(model, extractor)
    rng = np.random.default_rng(0)
    sounds, groups = [rng.normal(size=2000) * (1 + i % 2) for i in range(8)], tuple("abababab")
    own, by_group = views_of(encoder, [], has_groups=True)
    frames = encoder.by_group(sounds, groups)
    raw = standardised_by_group(features_of(encoder, frames), groups)
    np.testing.assert_allclose(by_group.fit(sounds, groups), Scaling.fitted(raw).apply(raw), atol=1e-3)
    as_they_are = features_of(encoder, sounds)
    np.testing.assert_allclose(own.fit(sounds, groups), Scaling.fitted(as_they_are).apply(as_they_are), atol=1e-3)

    data = LabelledData(sounds, np.arange(8) // 4, ("x", "y"), groups)
    pool, test = data.take(np.arange(6)), data.take(np.array([6, 7]))
    asked = []
    for row in probed(
        "pretrained", encoder, pool, test, embed=lambda one: asked.append(one) or embedding(pool, test)(one)
    ):
        row.predict(np.arange(6), 0)
    assert len(asked) == 1  # by the row that knows of no groups
    found_pool, found_test = normalised_by_group(encoder, pool, test)
    np.testing.assert_array_equal(np.concatenate([*found_pool.inputs, *found_test.inputs]), np.concatenate(frames))


def test_an_encoder_embeds_the_same_inputs_once(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        module, "features_of", lambda encoder, inputs: asked.append(len(inputs)) or np.eye(len(inputs))
    )
    embed = module.Embedding(tiny_static_model().encoder())
    for _ in range(2):
        embed(TEXTS)
    embed(TEXTS[:3])
    assert asked == [30, 3]


@pytest.mark.parametrize("has_groups", [False, True])
def test_names_say_what_a_view_is_of(has_groups) -> None:
    names = [view.name for view in views_of(tiny_static_model().encoder(), [TF_IDF], has_groups)]
    assert len(set(names)) == len(names) and names[0] == "encoder" and names[-1] == "TF-IDF"
