"""Heads: what the probe reads, beginning as the probe, and found in any library's classifier."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ModernBertForSequenceClassification,
    ResNetForImageClassification,
    ViTForImageClassification,
    Wav2Vec2ForSequenceClassification,
)

from hf_unlab.evaluation.features import features_of, over_batches
from hf_unlab.few_labels.heads import begin_at_probe, head_modules, read_out
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.testing import tiny_dual_encoder, tiny_wav2vec2
from tests.modalities.image.test_encoder import RESNET, VIT
from tests.modalities.text import test_encoder as texts_of
from tests.modalities.text.test_encoder import BERT, MODERNBERT
from tests.modalities.text.test_encoder import make as text_encoder


def test_fine_tuning_reads_what_the_probe_reads() -> None:
    encoder = text_encoder(BERT)
    texts = ["w1 w2", "w3"]
    model = read_out(encoder, 3, 0, texts[0]).eval()
    assert model.head[1].in_features == features_of(encoder, texts).shape[1]
    own = encoder.fresh(0)
    own.__dict__["model"] = model.model
    with torch.no_grad():
        logits = model(**encoder.collate(texts)).logits
        expected = model.head(torch.as_tensor(features_of(own, texts)))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.model is not encoder.model


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_head_begins_as_the_probe(num_classes: int) -> None:
    """Texts longer than a window, too: their probabilities come from logits averaged over windows."""
    encoder, (texts, _) = text_encoder(BERT, max_length=5), texts_of.TestText().labelled(12, 0)
    labels = np.arange(12) % num_classes
    model = read_out(encoder, num_classes, 0, texts[0])
    probe = begin_at_probe(model, encoder, texts, labels)
    features = over_batches(encoder, model, lambda batch: model.head[0](model._embed(batch)), texts)
    logits = over_batches(encoder, model, lambda batch: model(**batch).logits, texts)
    np.testing.assert_allclose(softmax(logits, axis=1), probe.probabilities(features), atol=1e-5)
    assert probe.weights_DK.any() and probe.classes.tolist() == list(range(num_classes))


def test_a_class_without_labels_begins_as_the_unlikeliest() -> None:
    encoder, (texts, labels) = text_encoder(BERT), texts_of.TestText().labelled(12, 0)
    model = read_out(encoder, 4, 0, texts[0])
    begin_at_probe(model, encoder, texts, 2 * labels)
    logits = over_batches(encoder, model, lambda batch: model(**batch).logits, texts)
    assert set(logits.argmax(1)) <= {0, 2}


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: BertForSequenceClassification(BERT), ["classifier", "bert.pooler.dense"]),
        (lambda: ModernBertForSequenceClassification(MODERNBERT), ["head.dense", "head.norm", "classifier"]),
        (
            lambda: DistilBertForSequenceClassification(DistilBertConfig(vocab_size=9, dim=8, n_layers=1, n_heads=1)),
            ["pre_classifier", "classifier"],
        ),
        (lambda: ViTForImageClassification(VIT), ["classifier"]),
        (lambda: ResNetForImageClassification(RESNET), ["classifier.1"]),
        (lambda: Wav2Vec2ForSequenceClassification(tiny_wav2vec2()[0].config), ["projector", "classifier"]),
        (lambda: ImageTextEncoder(tiny_dual_encoder).classifier(2, 0), ["head.1"]),
        (lambda: read_out(text_encoder(BERT), 2, 0, "w1"), ["head.1"]),
    ],
    ids=["bert", "modernbert", "distilbert", "vit", "resnet", "wav2vec2", "clip", "read-out"],
)
def test_heads_are_found(make, names) -> None:
    model = make()
    assert head_modules(model) == names
    assert all(any(True for _ in model.get_submodule(name).parameters()) for name in names)


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="BertModel has no head apart from its encoder"):
        head_modules(BertForSequenceClassification(BertConfig(**BERT.to_diff_dict())).bert)
