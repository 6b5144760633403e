"""A table of a transformer's tokens: against the computation by hand, token by token."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hf_unlab.modalities.text.distillation import distil_static, embed_tokens, zipf_sif_weights
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.sentence_models import StaticModel, TransformerModel
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
WORDS = ["the", "river", "town", "stones", "rereads", "x"]


@pytest.fixture(scope="module", params=["mean", "cls"])
def teacher(request, tmp_path_factory):
    """A checkpoint of sentence-transformers, its model and its pooling; its tokenizer's file cuts and pads."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    TransformerModel(tiny_bert().base_model, TOKENIZER, pooling=request.param).save_pretrained(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder, AutoModel.from_pretrained(folder).eval(), request.param


def by_hand(teacher, rows):
    """One row at a time, without padding; components by singular values."""
    _, model, pooling = teacher
    vectors = []
    for ids in rows:
        with torch.no_grad():
            states_TD = model(torch.tensor([[TOKENIZER.cls_token_id, *ids, TOKENIZER.sep_token_id]]))[0][0]
        vectors.append((states_TD.mean(0) if pooling == "mean" else states_TD[0]).numpy())
    centred_NF = np.array(vectors, dtype=np.float64) - np.mean(vectors, axis=0, dtype=np.float64)
    _, _, right = np.linalg.svd(centred_NF, full_matrices=False)
    shares = [1 / rank for rank in range(1, len(rows) + 1)]
    weights_N = np.array([1e-2 / (1e-2 + share / sum(shares)) for share in shares])
    return centred_NF @ right[:4].T * weights_N[:, None]


def assert_same_up_to_signs(found_ND, expected_ND):
    signs_D = np.sign((found_ND * expected_ND).sum(0))
    np.testing.assert_allclose(found_ND * signs_D, expected_ND, atol=2e-5)


def test_each_token_of_the_teacher_is_what_it_is_by_hand(teacher):
    model = distil_static(teacher[0], num_features=4, sif_coefficient=1e-2)
    special = set(TOKENIZER.all_special_ids)
    ids_N = [number for number in range(len(TOKENIZER)) if number not in special]
    table_VD = model.embedding.weight.detach().numpy()
    assert_same_up_to_signs(table_VD[ids_N], by_hand(teacher, [[number] for number in ids_N]))
    assert not table_VD[sorted(special)].any()


def test_each_word_of_a_list_is_what_it_is_by_hand(teacher):
    model = distil_static(teacher[0], num_features=4, sif_coefficient=1e-2, vocabulary=WORDS)
    expected_ND = by_hand(teacher, TOKENIZER(WORDS, add_special_tokens=False)["input_ids"])
    batch = model.tokens.collate(model.tokens.ids_of([word.upper() for word in WORDS]))
    assert_same_up_to_signs(model(**batch).features_BD.detach().numpy(), expected_ND)
    unknown = model.tokens.collate(model.tokens.ids_of(["elsewhere"]))
    assert not model(**unknown).features_BD.any()


def test_it_reads_whole_texts_and_is_saved_and_loaded(teacher, tmp_path):
    model = distil_static(teacher[0], num_features=4)
    text = "the river keeps the town " * 5
    (ids,) = model.tokens.ids_of([text])
    assert ids.tolist() == TOKENIZER(text, add_special_tokens=False)["input_ids"]  # more than six
    model.save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    expected_1D = model(**model.tokens.collate([ids])).features_BD
    torch.testing.assert_close(encoder.embed(encoder.collate([text])), expected_1D)


def test_it_is_the_same_every_time_and_leaves_the_generators_alone(teacher):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    one, other = (distil_static(teacher[0], num_features=4).embedding.weight for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]


def test_a_checkpoint_that_says_no_pooling_gives_all_its_layers(tmp_path):
    tiny_bert().save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    rows = [[TOKENIZER.cls_token_id, 30, TOKENIZER.sep_token_id]]
    assert embed_tokens(encoder, rows).shape == (1, 32)
    assert isinstance(distil_static(tmp_path, num_features=20), StaticModel)


def test_tokens_that_a_vocabulary_keeps_unused_take_no_rank(teacher, tmp_path):
    folder, _, _ = teacher
    words = json.loads((folder / "tokenizer.json").read_text())
    names = {number: name for name, number in words["model"]["vocab"].items()}
    renamed = {names[number]: f"[unused{number}]" for number in (290, 291)}  # the last merges; nothing is made of them
    words["model"]["vocab"] = {renamed.get(name, name): number for name, number in words["model"]["vocab"].items()}
    words["model"]["merges"] = [pair for pair in words["model"]["merges"] if "".join(pair) not in renamed]
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "tokenizer.json":
            (tmp_path / path.relative_to(folder)).parent.mkdir(exist_ok=True)
            (tmp_path / path.relative_to(folder)).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    table_VD = distil_static(tmp_path, num_features=4, sif_coefficient=1e-2).embedding.weight.detach().numpy()
    special = {*TOKENIZER.all_special_ids, 290, 291}
    ids_N = [number for number in range(len(TOKENIZER)) if number not in special]
    assert_same_up_to_signs(table_VD[ids_N], by_hand(teacher, [[number] for number in ids_N]))
    assert not table_VD[[290, 291]].any()


def test_frequent_tokens_weigh_less():
    weights_N = zipf_sif_weights(1000, 1e-4)
    total = sum(1 / rank for rank in range(1, 1001))
    assert weights_N[0] == pytest.approx(1e-4 / (1e-4 + 1 / total)) and (np.diff(weights_N) > 0).all()
    assert weights_N[-1] == pytest.approx(1e-4 / (1e-4 + 1 / (1000 * total)))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_features": 17}, "num_features is 17; of .* tokens with 16 features each there are 1 to 16"),
        ({"num_features": 7, "vocabulary": WORDS}, "of 6 tokens with 16 features each there are 1 to 6"),
        ({"num_features": 0}, "num_features is 0"),
        ({"sif_coefficient": 0}, "sif_coefficient must be above 0, not 0"),
        ({"vocabulary": ["The"]}, "1 of 1 words would never be found in a text, such as 'The'"),
    ],
)
def test_what_cannot_be_distilled_is_said(teacher, settings, message):
    with pytest.raises(ValueError, match=message):
        distil_static(teacher[0], **{"num_features": 4, **settings})


def test_a_table_is_not_distilled(tmp_path):
    tiny_static_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a static table already"):
        distil_static(tmp_path)
