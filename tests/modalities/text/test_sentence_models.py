"""Models of one vector a text: saved, they are sentence-transformers' and transformers' own, to the last digit."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.text.encoder import load_encoder, pooled
from hf_unlab.modalities.text.sentence_models import StaticModel, TransformerModel
from hf_unlab.modalities.weights import WeightsError
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_texts, tiny_tokenizer
from hf_unlab.training.alone import alone_and_quiet

TEXTS = [*tiny_texts(12), "the river", "the"]
POOLINGS = ("mean", "cls", "last")


def transformer(pooling="mean", has_head=False, **settings):
    torch.manual_seed(0)
    model = tiny_bert(hidden_dropout_prob=0.1)  # so that a forgotten eval mode shows
    return TransformerModel(model if has_head else model.base_model, tiny_tokenizer(), pooling=pooling, **settings)


def static():
    torch.manual_seed(0)
    return tiny_static_model()


MAKE = {
    "static": static,
    **{pooling: lambda pooling=pooling: transformer(pooling) for pooling in POOLINGS},
    "with a pooler": lambda: TransformerModel(BertModel(tiny_bert().config), tiny_tokenizer()),
    "with a head": lambda: transformer(has_head=True),
}
ALL = pytest.mark.parametrize("name", MAKE)


def forward(model, texts):
    """Its own vectors, brought to norm 1."""
    with torch.no_grad():
        features = model.eval()(**model.tokens.collate(model.tokens.ids_of(texts))).features_BD
    return torch.nn.functional.normalize(features, dim=1).numpy()


def encode(folder, texts=TEXTS):
    """sentence-transformers' vectors."""
    from sentence_transformers import SentenceTransformer

    with alone_and_quiet():
        return SentenceTransformer(str(folder), device="cpu").encode(texts, show_progress_bar=False)


@ALL
def test_sentence_transformers_reads_what_is_saved_and_finds_the_same_vectors(name, tmp_path):
    model = MAKE[name]()
    model.save_pretrained(tmp_path)
    ours = forward(model, TEXTS)
    np.testing.assert_allclose(encode(tmp_path), ours, atol=1e-6)
    np.testing.assert_allclose(features_of(model.encoder(), TEXTS), ours, atol=1e-6)
    np.testing.assert_allclose(features_of(load_encoder(tmp_path), TEXTS), ours, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


def test_poolings_differ():
    """Else the test above would say less."""
    vectors = [forward(transformer(pooling), TEXTS) for pooling in POOLINGS]
    assert all(np.abs(vectors[i] - vectors[i - 1]).max() > 0.1 for i in range(3))


@ALL
def test_saved_weights_come_back_to_the_last_bit(name, tmp_path):
    model, other = MAKE[name](), MAKE[name]()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    given = {key: tensor + 2 for key, tensor in model.state_dict().items() if tensor.is_floating_point()}
    model.save_pretrained(tmp_path / "own")
    model.save_pretrained(tmp_path / "given", state_dict={**model.state_dict(), **given})
    with alone_and_quiet():
        other.load_weights(tmp_path / "own")
        assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in other.state_dict().items())
        other.load_weights(tmp_path / "given")
    found = other.state_dict()
    assert given.keys() == {key for key, tensor in found.items() if tensor.is_floating_point()}
    tied = "model.cls.predictions.decoder"  # follows the embeddings and the bias
    assert all(torch.equal(tensor, found[key]) for key, tensor in given.items() if not key.startswith(tied))


@pytest.mark.parametrize("has_head", [False, True])
def test_a_transformer_is_an_ordinary_checkpoint_besides(has_head, tmp_path):
    model = transformer(has_head=has_head, pooling="last")
    model.save_pretrained(tmp_path)
    with alone_and_quiet():
        loaded = AutoModel.from_pretrained(tmp_path)
    for key, tensor in model.model.base_model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key]), key


def test_weights_of_another_model_are_refused(tmp_path):
    transformer(has_head=True).save_pretrained(tmp_path)
    with alone_and_quiet(), pytest.raises(WeightsError, match="is of another architecture"):
        transformer().load_weights(tmp_path)


@ALL
def test_the_encoder_is_the_model_as_it_is(name):
    """Weights are shared, and its mode is left."""
    model = MAKE[name]().train()
    encoder = model.encoder()
    assert isinstance(encoder, Encoder)
    before = features_of(encoder, TEXTS)
    assert model.training and all(part.training for part in model.modules())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    after = features_of(encoder, TEXTS)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(after, forward(model, TEXTS), atol=1e-6)
    assert before.shape == (len(TEXTS), model.num_features)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_is_not_pooled(pooling):
    states_BTD = torch.randn(3, 5, 4)
    lengths = (5, 2, 1)
    mask_BT = torch.tensor([[1] * length + [0] * (5 - length) for length in lengths])
    found = pooled(states_BTD, mask_BT, pooling)
    for row, length in enumerate(lengths):
        own = states_BTD[row, :length]
        expected = {"mean": own.mean(0), "cls": own[0], "last": own[-1]}[pooling]
        torch.testing.assert_close(found[row], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_and_the_logits_of_a_head_come_of_one_forward(pooling):
    model = transformer(pooling, has_head=True).eval()
    batch = model.tokens.collate(model.tokens.ids_of(TEXTS))
    positions = torch.tensor([1, 2, 20, 41])
    with torch.no_grad():
        both, alone, stock = model(**batch, positions=positions), model(**batch), model.model(**batch).logits
    torch.testing.assert_close(both.features_BD, alone.features_BD)
    torch.testing.assert_close(both.logits_NV, stock.flatten(0, 1)[positions])
    assert alone.logits_NV is None and not model.model.base_model._forward_hooks


def test_texts_without_tokens_are_zeros_of_a_table_and_finite_of_a_transformer():
    assert forward(static(), ["", "?!", "the"])[:2].tolist() == [[0.0] * 8] * 2
    model = transformer()
    model.tokenizer.backend_tokenizer.post_processor = None  # which frames texts
    frameless = TransformerModel(model.model, model.tokenizer)
    for each in (model, frameless):
        assert np.isfinite(forward(each, ["", "the"])).all() and np.isfinite(forward(each, [""])).all()


def test_every_id_has_an_embedding_where_ids_leave_numbers_out():
    content = json.loads(tiny_static_model().tokenizer.backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary["river"] = 400
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)), unk_token="[UNK]")
    model = StaticModel(tokenizer, num_features=4)
    assert np.isfinite(forward(model, ["the river"])).all() and model.embedding.num_embeddings == 401


def test_a_tokenizers_own_bounds_are_not_a_tables(tmp_path):
    model = static()
    expected = forward(model, TEXTS)
    model.tokenizer.backend_tokenizer.enable_truncation(3)
    np.testing.assert_allclose(features_of(model.encoder(), TEXTS), expected, atol=1e-6)
    model.tokenizer.backend_tokenizer.enable_truncation(3)
    model.tokenizer.backend_tokenizer.enable_padding(length=40)
    model.save_pretrained(tmp_path)
    np.testing.assert_allclose(encode(tmp_path), expected, atol=1e-6)


def test_lengths_are_bounded_by_the_model_and_special_tokens_take_room():
    model = transformer(max_length=10_000)
    assert model.max_length == 512 and model.tokens.max_length == 510
    assert transformer(max_length=16).tokens.max_length == 14
    assert static().tokens.max_length is None


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="pooling is 'max'; it is one of mean, cls, last"):
        transformer("max")
    with pytest.raises(ValueError, match="max_length is 2: no token fits"):
        transformer(max_length=2)


def test_a_table_has_no_activations_to_compute_again():
    with pytest.raises(ValueError, match="StaticModel has no activations to compute again"):
        static().activation_checkpointing_enable()


def test_a_head_is_told():
    assert {name for name in MAKE if MAKE[name]().has_head} == {"with a head"}
    model = BertForSequenceClassification(tiny_bert().config)  # its head asks for no token
    assert not TransformerModel(model, tiny_tokenizer()).has_head
