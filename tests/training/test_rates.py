"""Rates: by size, by layer, and as an optimiser's groups."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Wav2Vec2Config, Wav2Vec2Model

from hf_unlab.training.rates import groups_of, rates_by_layer, suitable_rate

SIZES = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 1, "intermediate_size": 8}


def test_larger_models_learn_at_lower_rates() -> None:
    rates = [suitable_rate(10**power) for power in range(3, 12)]
    assert rates == sorted(rates, reverse=True) and rates[0] == 1e-3 and rates[-1] == 1e-5


def test_lower_layers_of_bert_learn_more_slowly() -> None:
    model = BertForSequenceClassification(BertConfig(vocab_size=9, **SIZES))
    names = [f"base_model.model.{name}" for name, _ in model.named_parameters()]
    rates = rates_by_layer(names, ["classifier", "bert.pooler"], 1.0, 7.0, 0.5)
    assert list(rates) == names

    def of(part: str) -> set[float]:
        return {rate for name, rate in rates.items() if part in name}

    assert [of("embeddings."), *(of(f"layer.{i}.") for i in range(3))] == [{0.125}, {0.25}, {0.5}, {1.0}]
    assert of("pooler") == of("classifier") == {7.0}
    assert set(rates_by_layer(names, [], 1.0, 7.0).values()) == {1.0}


def test_convolutions_below_a_transformer_count_as_layers() -> None:
    model = Wav2Vec2Model(Wav2Vec2Config(**SIZES, conv_dim=[8] * 7, num_conv_pos_embedding_groups=2))
    rates = rates_by_layer([name for name, _ in model.named_parameters()], [], 1.0, 1.0, 0.5)
    conv, top = (
        rates[f"{name}.weight"]
        for name in ("feature_extractor.conv_layers.0.conv", "encoder.layers.2.final_layer_norm")
    )
    assert conv == pytest.approx(0.5**9) and top == 1.0


def test_frozen_weights_are_in_no_group() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    groups = groups_of(model, dict.fromkeys(dict(model.named_parameters()), 0.5), 0.1)
    assert sum(len(group["params"]) for group in groups) == 2
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(0.5, 0.1), (0.5, 0.0)}
