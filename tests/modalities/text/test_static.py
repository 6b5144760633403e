"""Static encoders: the library's own vectors, and what every encoder owes."""

import contextlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from hf_unlab.evaluation.features import features_of
from hf_unlab.few_labels.heads import read_out
from hf_unlab.modalities.detect import modality_of
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.text import static
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.static import StaticEncoder
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.finetuning import finetune_classifier, predict_classes

WORDS = [f"w{i}" for i in range(40)]
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, size=i % 13)) for i in range(30)]


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["?", *WORDS])}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.fixture
def saved(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    torch.manual_seed(0)
    with alone_and_quiet():
        modules = [StaticEmbedding(tokenizer(), embedding_dim=8), Normalize()]
        model = SentenceTransformer(modules=modules, device="cpu")
        model.save(str(tmp_path / "static"), create_model_card=False)
    return model, tmp_path / "static"


def test_vectors_are_those_of_sentence_transformers(saved) -> None:
    model, folder = saved
    encoder = load_encoder(folder)
    assert isinstance(encoder, StaticEncoder) and modality_of(folder) == "text" and encoder.has_unit_norm
    np.testing.assert_allclose(features_of(encoder, TEXTS), model.encode(TEXTS, show_progress_bar=False), atol=1e-6)
    encoder.batch_size = 4
    np.testing.assert_allclose(features_of(encoder, TEXTS[::-1])[::-1], features_of(encoder, TEXTS), atol=1e-6)
    with pytest.raises(ValueError, match="has no layers"):
        features_of(encoder, TEXTS, layer=-1)
    with pytest.raises(ValueError, match="pooling is 'cls'; this encoder knows: mean"):
        features_of(encoder, TEXTS, pooling="cls")


def test_random_weights_and_fresh_ones(saved) -> None:
    first, again, other = (load_encoder(saved[1], random_weights=True, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(features_of(first, TEXTS), features_of(again, TEXTS))
    assert np.abs(features_of(first, TEXTS) - features_of(other, TEXTS)).max() > 1e-3
    np.testing.assert_array_equal(features_of(first.fresh(2), TEXTS), features_of(other, TEXTS))
    pretrained = load_encoder(saved[1])
    fresh = pretrained.fresh(5)
    assert fresh.model is not pretrained.model and torch.equal(fresh.model.weight, pretrained.model.weight)


def test_a_fit_learns_and_leaves_the_encoder_as_it_was(saved) -> None:
    encoder = load_encoder(saved[1])
    before = encoder.model.weight.clone()
    labels = np.arange(40) % 2
    texts = [f"w{20 * label + i % 20} w{20 * label + (3 * i) % 20}" for i, label in enumerate(labels)]
    classifier = encoder.classifier(2, 0)
    finetune_classifier(classifier, encoder, texts, labels, num_steps=60, learning_rate=5e-2)
    assert (predict_classes(classifier, encoder, texts) == labels).mean() > 0.9
    assert torch.equal(encoder.model.weight, before)


def test_model2vec_tables_are_folded(tmp_path) -> None:
    (tmp_path / "modules.json").write_text('[{"type": "sentence_transformers.models.StaticEmbedding", "path": ""}]')
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    rng = np.random.default_rng(0)
    rows, mapping = rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 5, 41)
    weights = rng.uniform(0.5, 2, 41).astype(np.float32)
    tensors = {"embeddings": torch.tensor(rows), "mapping": torch.tensor(mapping), "weights": torch.tensor(weights)}
    save_file(tensors, tmp_path / "model.safetensors")
    expected = (rows[mapping[[1, 2]]] * weights[[1, 2], None]).mean(0)
    np.testing.assert_allclose(features_of(load_encoder(tmp_path), ["w0 w1"])[0], expected, rtol=1e-6)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("kind", ["library", "read out"])
def test_a_narrowed_table_is_trained_as_the_whole_one(kind, monkeypatch) -> None:
    """Also the rows that no text has, which weight decay shrinks."""
    encoder = StaticEncoder(tokenizer(), torch.randn(41, 8, generator=torch.Generator().manual_seed(0)))
    inputs, labels = [" ".join(WORDS[i : i + 3]) for i in range(6)], np.arange(6) % 2
    seen, trained = [], []

    def watch(module, given):
        seen.append(len(module.weight))

    for is_narrow in (False, True):
        made = encoder.classifier(2, 0) if kind == "library" else read_out(encoder, 2, 0, inputs[0])
        table = made.table if kind == "library" else made.model
        table.register_forward_pre_hook(watch)
        with monkeypatch.context() as patch:
            if not is_narrow:
                patch.setattr(StaticEncoder, "narrowed", Encoder.narrowed)
            finetune_classifier(made, encoder, inputs, labels, num_steps=20, learning_rate=0.05, weight_decay=0.3)
        assert table.weight.shape == (41, 8) and table.weight.requires_grad
        trained.append(made.state_dict())
    assert set(seen[:20]) == {41} and set(seen[-20:]) == {8 + 1}  # eight words
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, atol=1e-6, rtol=1e-5)
    assert float((trained[1][next(iter(trained[1]))][20] - encoder.weights_VD[20]).abs().max()) > 1e-3


def test_many_words_are_not_narrowed_and_errors_leave_the_table_whole() -> None:
    encoder = StaticEncoder(tokenizer(), num_features=8)
    classifier = encoder.classifier(2, 0)
    with encoder.narrowed(classifier, [" ".join(WORDS)]):
        assert len(classifier.table.weight) == 41
    with contextlib.suppress(KeyError), encoder.narrowed(classifier, ["w1 w2"]):
        assert len(classifier.table.weight) == 3
        raise KeyError
    assert len(classifier.table.weight) == 41 and not classifier.table._forward_pre_hooks


def test_texts_are_tokenized_once_and_by_copies_too(monkeypatch) -> None:
    encoder = StaticEncoder(tokenizer(), num_features=8)
    first = encoder.collate(TEXTS)["input_ids"]
    monkeypatch.setattr(encoder, "tokenizer", None)
    assert torch.equal(encoder.fresh(1).collate(TEXTS)["input_ids"], first)
    monkeypatch.setattr(static, "MAX_REMEMBERED", 5)
    with pytest.raises(AttributeError):  # all is forgotten, and asked anew
        encoder.collate(TEXTS)
