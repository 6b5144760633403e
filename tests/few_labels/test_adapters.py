"""Adapters: what is saved loads by plain peft onto a plain base model and answers the same; little is trained."""

import json
import warnings

import numpy as np
import pytest
import torch
from peft import AutoPeftModel, AutoPeftModelForSequenceClassification, PeftModel
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    ResNetModel,
    RobertaConfig,
    ViTModel,
)

from hf_unlab.few_labels.adapters import adapted, base_kept, hub_id, save_adapter, trained_share
from hf_unlab.few_labels.heads import read_out
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image_text.tiny_clip import tiny_clip
from hf_unlab.modalities.text.static import StaticEncoder
from hf_unlab.testing import tiny_wav2vec2
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.finetuning import finetune_classifier
from tests.modalities.image.test_encoder import PROCESSOR, RESNET, VIT, noisy_colours
from tests.modalities.image_text.dual_encoders import TOKENIZER, make
from tests.modalities.text import test_encoder as texts
from tests.modalities.text.test_encoder import make as text_encoder
from tests.modalities.text.test_encoder import save_bert
from tests.modalities.text.test_static import tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, when it loads
NAMES, LABELS = ("no", "yes", "perhaps"), np.arange(9) % 3


def save_audio(folder) -> None:
    model, extractor = tiny_wav2vec2()
    model.save_pretrained(folder), extractor.save_pretrained(folder)


def save_images(model, folder) -> None:
    model.save_pretrained(folder), PROCESSOR.save_pretrained(folder)


def save_roberta(folder) -> None:
    """A head of several parts."""
    AutoModelForMaskedLM.from_config(RobertaConfig(**texts.BERT.to_diff_dict())).save_pretrained(folder)
    texts.word_tokenizer().save_pretrained(folder)


SAVERS = {  # of base models, with the modality and the class of transformers that loads classifiers
    "bert": (save_bert, "text", AutoModelForSequenceClassification),
    "roberta": (save_roberta, "text", AutoModelForSequenceClassification),
    "vit": (lambda folder: save_images(ViTModel(VIT), folder), "image", AutoModelForImageClassification),
    "resnet": (lambda folder: save_images(ResNetModel(RESNET), folder), "image", AutoModelForImageClassification),
    "wav2vec2": (save_audio, "audio", AutoModelForAudioClassification),
    "open_clip": (lambda folder: make("open_clip").save_pretrained(folder), "image_text", None),
    "siglip": (lambda folder: make("siglip").save_pretrained(folder), "image_text", None),
    "tiny_clip": (lambda folder: tiny_clip(TOKENIZER, batch_norm=True).save_pretrained(folder), "image_text", None),
}


def inputs_of(modality: str) -> list:
    if modality == "text":
        return texts.TestText().labelled(9, 0)[0]
    if modality == "audio":
        return [np.random.default_rng(i).normal(size=2_000 + 300 * i).astype(np.float32) for i in range(9)]
    return noisy_colours(LABELS % 2, 0)


def based(kind: str, folder, monkeypatch):
    """A checkpoint in the folder `own`, from where it is loaded by its relative name; its encoder."""
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    saver, modality, auto_class = SAVERS[kind]
    with alone_and_quiet():
        saver(folder / "own")
        return get_modality(modality).load_encoder("own"), inputs_of(modality), auto_class


def trained(encoder, inputs, kind="lora", seed=0, classifier=None):
    with alone_and_quiet():
        model = adapted(classifier or encoder.classifier(3, 0), encoder, kind, rank=2, seed=seed)
    with base_kept(model):
        finetune_classifier(model, encoder, inputs, LABELS, num_steps=4, learning_rate=3e-2, seed=seed)
    return model.eval()


def logits_of(model, encoder, inputs) -> torch.Tensor:
    rows = {}
    with torch.no_grad():
        for indices, batch in encoder.batches(encoder.pieces(inputs).inputs):
            rows.update(zip(indices.tolist(), model(**batch).logits, strict=True))
    return torch.stack([rows[i] for i in sorted(rows)])


@pytest.mark.parametrize("adapter", ["lora", "dora", "ia3"])
@pytest.mark.parametrize("kind", SAVERS)
def test_what_is_saved_loads_by_plain_peft(kind, adapter, tmp_path, monkeypatch) -> None:
    encoder, inputs, auto_class = based(kind, tmp_path, monkeypatch)
    with alone_and_quiet():
        before = logits_of(encoder.classifier(3, 0).eval(), encoder, inputs)
    model = trained(encoder, inputs, adapter)
    expected = logits_of(model, encoder, inputs)
    assert (expected - before).abs().max() > 1e-3
    save_adapter(model, encoder, "adapter", NAMES)
    with alone_and_quiet():
        if auto_class is None:
            base = encoder.classifier(3, 5).eval()  # with another head
        else:
            config = AutoConfig.from_pretrained("adapter", subfolder="classifier")
            assert config.id2label == dict(enumerate(NAMES)) and config.label2id["yes"] == 1
            torch.manual_seed(5)
            base = auto_class.from_pretrained("own", config=config)
        again = PeftModel.from_pretrained(base, "adapter").eval()
    torch.testing.assert_close(logits_of(again, encoder, inputs), expected, atol=1e-6, rtol=0)
    merged = again.merge_and_unload()
    assert type(merged) is type(base)
    torch.testing.assert_close(logits_of(merged, encoder, inputs), expected, atol=1e-5, rtol=1e-4)
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] is None
    for file in (tmp_path / "adapter").rglob("*.*"):
        holds_path = str(tmp_path).encode() in file.read_bytes()
        assert not holds_path, file
    assert "base_model" not in (tmp_path / "adapter" / "README.md").read_text().split("---")[1]


def test_labels_of_classes_of_no_library(tmp_path, monkeypatch) -> None:
    encoder, inputs, _ = based("open_clip", tmp_path, monkeypatch)
    save_adapter(trained(encoder, inputs), encoder, "adapter", NAMES, base_model="laion/clip")
    assert json.loads((tmp_path / "adapter" / "labels.json").read_text()) == {
        "id2label": {"0": "no", "1": "yes", "2": "perhaps"}
    }
    assert "base_model: laion/clip" in (tmp_path / "adapter" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["bert", "vit", "wav2vec2"])
def test_a_base_that_is_named_is_found_by_peft_itself(kind, tmp_path, monkeypatch) -> None:
    encoder, inputs, _ = based(kind, tmp_path, monkeypatch)
    model = trained(encoder, inputs)
    save_adapter(model, encoder, "adapter", NAMES, base_model="own")
    auto = AutoPeftModelForSequenceClassification if kind == "bert" else AutoPeftModel
    with alone_and_quiet():
        again = auto.from_pretrained("adapter", num_labels=3).eval()
    torch.testing.assert_close(logits_of(again, encoder, inputs), logits_of(model, encoder, inputs), atol=1e-6, rtol=0)


def test_several_adapters_share_one_base(tmp_path, monkeypatch) -> None:
    encoder, inputs, auto_class = based("bert", tmp_path, monkeypatch)
    expected = {}
    for seed, name in enumerate(("first", "second")):
        model = trained(encoder, inputs, seed=seed)
        save_adapter(model, encoder, name, NAMES)
        expected[name] = logits_of(model, encoder, inputs)
    assert (expected["first"] - expected["second"]).abs().max() > 1e-3
    with alone_and_quiet():
        base = auto_class.from_pretrained("own", num_labels=3)
        both = PeftModel.from_pretrained(base, "first", adapter_name="first")
        both.load_adapter("second", adapter_name="second")
    for name in ("first", "second", "first"):
        both.set_adapter(name)
        torch.testing.assert_close(logits_of(both.eval(), encoder, inputs), expected[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["bert", "open_clip"])
def test_a_head_that_reads_what_the_probe_reads_is_saved_too(kind, tmp_path, monkeypatch) -> None:
    encoder, inputs, _ = based(kind, tmp_path, monkeypatch)
    model = trained(encoder, inputs, classifier=read_out(encoder, 3, 0, inputs[0]))
    save_adapter(model, encoder, "adapter", NAMES)
    again = PeftModel.from_pretrained(read_out(encoder, 3, 0, inputs[0]), "adapter").eval()
    torch.testing.assert_close(logits_of(again, encoder, inputs), logits_of(model, encoder, inputs), atol=1e-6, rtol=0)


def test_attention_of_torch_is_adapted_and_its_weights_stay(tmp_path, monkeypatch) -> None:
    encoder, inputs, _ = based("open_clip", tmp_path, monkeypatch)
    before = encoder.classifier(3, 0).state_dict()
    model = trained(encoder, inputs)
    moved = {name: value for name, value in model.state_dict().items() if "attn" in name and "lora_B" in name}
    assert len(moved) == 4 and all(value.abs().max() > 0 for value in moved.values())  # two layers, into and out
    after = {name.replace("base_layer.", ""): value for name, value in model.get_base_model().state_dict().items()}
    for name, value in before.items():
        if not name.startswith("head"):
            assert torch.equal(after[name], value), name


def test_lora_trains_under_a_twentieth_of_bert() -> None:
    with torch.device("meta"):
        classifier = AutoModelForSequenceClassification.from_config(BertConfig(num_labels=10))
        encoder = text_encoder(BertConfig())
        encoder.__dict__["model"] = classifier.bert
        shares = {kind: trained_share(adapted_on_meta(classifier, encoder, kind)) for kind in ("lora", "ia3")}
    assert 0.005 < shares["ia3"] < shares["lora"] < 0.05


def adapted_on_meta(classifier, encoder, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = adapted(classifier, encoder, kind)
        share = torch.nn.Module()
        share.list = torch.nn.ParameterList(list(model.parameters()))
        for old, new in zip(model.parameters(), share.list, strict=True):
            new.requires_grad_(old.requires_grad)
        model.unload()
    return share


def test_hub_ids(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in (
        "mine",
        tmp_path / "mine",
        str(tmp_path / "gone"),
        "./gone",
        "~/gone",
        "a/b/c",
        None,
        "open_clip:ViT-B-32",
    ):
        assert hub_id(name) is None
    assert hub_id("bert-base-uncased") == "bert-base-uncased"
    encoder = text_encoder(BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    encoder.checkpoint = None
    model = adapted(encoder.classifier(2, 0), encoder, "lora")
    encoder.checkpoint = "google-bert/bert-base-uncased"
    save_adapter(model, encoder, "out")
    told = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == "google-bert/bert-base-uncased"


def test_refusals(tmp_path) -> None:
    static = StaticEncoder(tokenizer(), torch.ones(41, 4))
    with pytest.raises(ValueError, match=r"nothing in StaticEncoder that lora could adapt.*kind='full'"):
        adapted(static.classifier(2, 0), static, "lora")
    encoder = text_encoder(BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(ValueError, match="kind of adapter is 'prefix'; choose one of lora, dora, ia3"):
        adapted(encoder.classifier(2, 0), encoder, "prefix")
    with pytest.raises(ValueError, match="rank is 0"):
        adapted(encoder.classifier(2, 0), encoder, "lora", rank=0)
    model = adapted(encoder.classifier(2, 0), encoder, "lora")
    with pytest.raises(ValueError, match="3 label_names for 2 classes"):
        save_adapter(model, encoder, tmp_path, NAMES)
    with pytest.raises(ValueError, match="a path of this machine"):
        save_adapter(model, encoder, tmp_path, base_model=str(tmp_path))
