"""What sentence-transformers' files say is done; vectors are those of sentence-transformers."""

import json

import numpy as np
import pytest

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.sentences import Modules, read_modules, refuse_unknown_modules
from hf_unlab.training.alone import alone_and_quiet
from tests.modalities.text.test_encoder import BERT, TEXTS, word_tokenizer

TEXTS = [text for text in TEXTS if text]


def save(folder, *, pooling: str, normalised: bool):
    """A checkpoint as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoModel

    with alone_and_quiet():
        AutoModel.from_config(BERT).save_pretrained(folder / "plain")
        word_tokenizer().save_pretrained(folder / "plain")
        transformer = Transformer(str(folder / "plain"), max_seq_length=20)
        modules = [transformer, Pooling(16, pooling_mode=pooling), *([Normalize()] if normalised else [])]
        model = SentenceTransformer(modules=modules, device="cpu")
        model.save(str(folder / "sentences"), create_model_card=False)
    return model


@pytest.mark.parametrize("pooling, normalised", [("mean", True), ("cls", False)])
def test_vectors_are_those_of_sentence_transformers(tmp_path, pooling, normalised) -> None:
    model = save(tmp_path, pooling=pooling, normalised=normalised)
    encoder = load_encoder(tmp_path / "sentences")
    assert (encoder.layer, encoder.pooling, encoder.has_unit_norm) == (-1, pooling, normalised)
    expected = model.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(features_of(encoder, TEXTS), expected, atol=1e-6)


def test_a_plain_checkpoint_says_nothing(tmp_path) -> None:
    assert read_modules(tmp_path) == Modules()


def test_what_cannot_be_run_is_refused(tmp_path) -> None:
    listed = [{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "x.Dense", "path": "2_Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="Dense cannot be run here: embed it with sentence-transformers"):
        refuse_unknown_modules(tmp_path, read_modules(tmp_path))
    listed = [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    (tmp_path / "1_Pooling").mkdir()
    config = {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="pools by mean, max_tokens; known are mean, cls and the last token"):
        read_modules(tmp_path)
