"""What settings name is loaded as a recipe would, and tried; nothing of it is fetched."""

import shutil

import pytest
from huggingface_hub import constants
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
)

from hf_unlab.app import doctor
from hf_unlab.app.doctor.model import check_model, local_folder
from hf_unlab.hub.resources import recipe_path
from hf_unlab.testing import (
    tiny_bert,
    tiny_dual_encoder,
    tiny_mel_model,
    tiny_static_model,
    tiny_tokenizer,
    tiny_wav2vec2,
)
from hf_unlab.training.alone import quiet_transformers
from tests.app.doctor.helpers import detail_of


@pytest.fixture
def saved(tmp_path):
    def save(*parts, name="checkpoint"):
        with quiet_transformers():
            for part in parts:
                part.save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    return save


def found(*argv):
    argv = [str(one) for one in argv]
    return list(check_model(doctor.read_settings(argv), doctor.fitting_objectives(argv).values()))


def statuses(findings):
    return {finding.what.strip(): finding.status for finding in findings}


def test_a_model_and_its_tokenizer_that_fit(saved):
    findings = found("--model", saved(tiny_bert(), tiny_tokenizer()), "--sequence_length", 64)
    assert set(statuses(findings).values()) == {"ok"}
    assert statuses(findings).keys() == {"model", "tokenizer", "length", "documents", "weights"}
    assert "BertForMaskedLM, " in detail_of("model", findings)[1]
    assert detail_of("tokenizer", findings)[1] == "300 ids of tokens for 300 embeddings"
    assert detail_of("length", findings)[1] == "64 tokens of 512 positions"


def test_weights_that_would_be_new_and_a_tokenizer_that_is_larger(saved, caplog):
    model = BertForSequenceClassification(tiny_bert(vocab_size=290).config)
    findings = found("--model", saved(model, tiny_tokenizer()), "--sequence_length", 64)
    warnings = [one.detail for one in findings if one.status == "warning"]
    assert len(warnings) == 2 and "has no weights for cls.predictions" in warnings[0]
    assert "ids up to 299" in warnings[1] and "10 embeddings are new" in warnings[1]
    assert not caplog.records, "a finding is not logged, too"


def test_what_would_stop_a_run_is_a_problem(saved, tmp_path):
    name = saved(tiny_bert(), tiny_tokenizer())
    assert "has 512 positions" in detail_of("length", found("--model", name, "--sequence_length", 1024))[1]
    config = BartConfig(
        vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=64,
    )  # fmt: skip
    bart = saved(BartForConditionalGeneration(config), tiny_tokenizer(), name="bart")
    problems = [one for one in found("--model", bart, "--sequence_length", 16) if one.status == "problem"]
    assert len(problems) == 1 and "is an encoder with a decoder behind it" in problems[0].detail
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    unmasked = found("--model", name, "--tokenizer", saved(tokenizer, name="unmasked"), "--sequence_length", 64)
    assert detail_of("tokenizer", unmasked) == (
        "problem",
        "it has no mask token, which masked language modelling needs",
    )
    (tmp_path / "checkpoint" / "model.safetensors").write_bytes(b"damaged")
    assert "cannot be read" in detail_of("model", found("--model", name))[1]


def test_documents_that_cannot_be_kept_apart(saved):
    config = DebertaV2Config(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    name = saved(DebertaV2ForMaskedLM(config), tiny_tokenizer())
    findings = found("--model", name, "--sequence_length", 16)
    assert detail_of("documents", findings)[0] == "warning"
    told = found("--model", name, "--sequence_length", 16, "--separate_documents", "false")
    assert "documents" not in statuses(told)


def test_speech_and_dual_encoders(saved, tmp_path):
    speech = found("--model", saved(*tiny_wav2vec2(), name="speech"))
    assert detail_of("extractor", speech)[1] == "8,000 Hz, a frame each 20 ms"
    mel = found("--model", saved(*tiny_mel_model(), name="mel"))
    assert detail_of("extractor", mel)[1] == "8,000 Hz, a token of 40 bands x 2 frames each 40 ms"
    with quiet_transformers():
        tiny_dual_encoder().save_pretrained(tmp_path / "dual")
    dual = found("--model", tmp_path / "dual")
    assert detail_of("inputs", dual)[1] == "images of 16 x 16 pixels, 12 tokens of text"
    assert {*statuses(speech).values(), *statuses(mel).values(), *statuses(dual).values()} == {"ok"}


@pytest.mark.parametrize("recipe", ["text_contrastive", "word_vectors"])
def test_a_static_table_from_scratch_is_nothing_to_load(recipe):
    (finding,) = found("--config", recipe_path(recipe, "tiny.yaml"))
    assert finding.status == "ok" and finding.detail.startswith("static: made from scratch")


@pytest.mark.parametrize("options", [(), ("--config", recipe_path("word_vectors", "tiny.yaml"))])
def test_a_static_checkpoint_is_loaded(saved, options):
    findings = found(*options, "--model", saved(tiny_static_model()))
    assert set(statuses(findings).values()) == {"ok"}
    assert "StaticModel, " in detail_of("model", findings)[1]
    assert detail_of("table", findings)[1].startswith("8 features each of ")
    masked = found("--model", saved(tiny_static_model()), "--sequence_length", 64)
    assert detail_of("model", masked)[0] == "problem", "there it cannot be trained"


def test_a_transformer_is_an_encoder_where_texts_are_told_apart(saved):
    model = BertForSequenceClassification(tiny_bert().config)  # masked language modelling would miss its head
    argv = ["--config", recipe_path("text_contrastive", "base.yaml"), "--model", saved(model, tiny_tokenizer())]
    findings = found(*argv, "--max_length", 64, "--pooling", "cls")
    assert set(statuses(findings).values()) == {"ok"}
    assert "BertModel, " in detail_of("model", findings)[1]
    assert detail_of("length", findings)[1] == "up to 64 tokens of a text, pooled by cls"
    assert detail_of("length", found(*argv, "--max_length", 1024))[0] == "warning"
    assert "pooling is 'most'" in detail_of("model", found(*argv, "--pooling", "most"))[1]
    (finding,) = found(*argv, "--tokenizer", "nobody/nothing")
    assert finding.status == "ok" and "neither is looked at" in finding.detail


def test_what_is_not_here_is_not_fetched(saved, tmp_path, monkeypatch):
    for name in ("nobody/nothing", "tiny", "base", "open_clip:ViT-B-32"):
        (finding,) = found("--model", name)
        assert finding.status == "ok" and ("not looked at" in finding.detail or "from scratch" in finding.detail)
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    snapshot = cache / "models--someone--bert" / "snapshots" / ("0" * 40)
    shutil.copytree(saved(tiny_bert(), tiny_tokenizer()), snapshot)
    (cache / "models--someone--bert" / "refs").mkdir()
    (cache / "models--someone--bert" / "refs" / "main").write_text("0" * 40)
    assert local_folder("someone/bert") == snapshot
    assert detail_of("model", found("--model", "someone/bert", "--sequence_length", 16))[1].startswith("someone/bert:")
    (snapshot / "model.safetensors").unlink()
    assert local_folder("someone/bert") is None


def test_the_doctor_tells_it(quick, saved, tmp_path):
    argv = [
        "--model",
        saved(tiny_bert(), tiny_tokenizer()),
        "--sequence_length",
        "1024",
        "--output_dir",
        str(tmp_path),
    ]
    assert detail_of("length", list(doctor.examine(argv)))[0] == "problem"
