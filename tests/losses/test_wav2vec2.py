import math

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ForPreTraining

from hf_unlab.losses.wav2vec2 import contrastive_losses, perplexities, scale_gradient
from hf_unlab.modalities.audio.models import use_channels_last, watched
from hf_unlab.objectives.wav2vec2.collator import Wav2Vec2Collator
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_wav2vec2

ARCHITECTURES = {
    "post-LN, layer norm": {},
    "pre-LN, layer norm": {"do_stable_layer_norm": True},
    "post-LN, group norm": {"feat_extract_norm": "group"},
    "pre-LN, group norm, biases": {"do_stable_layer_norm": True, "feat_extract_norm": "group", "conv_bias": True},
    "many codes": {"num_codevectors_per_group": 32},
}


def a_batch(model: Wav2Vec2ForPreTraining, lengths=(4000, 3000, 5000, 700), num_negatives=20, crop=False):
    rng = np.random.default_rng(0)
    clips = [{"audio": rng.standard_normal(length).astype(np.float32)} for length in lengths]
    config = model.config
    collate = Wav2Vec2Collator(
        tuple(config.conv_kernel),
        tuple(config.conv_stride),
        mask_length=3,
        num_negatives=num_negatives,
        crop_to_shortest=crop,
    )
    return collate(clips, Place(0))


def the_model(**overrides) -> Wav2Vec2ForPreTraining:
    torch.manual_seed(0)
    return tiny_wav2vec2(**overrides)[0].train()


def stock(model, batch) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)  # the noise of the codes
    output = model(
        batch["input_values"],
        attention_mask=batch.get("attention_mask"),
        mask_time_indices=batch["mask_time_indices"],
        sampled_negative_indices=batch["sampled_negative_indices"],
    )
    return output.contrastive_loss, output.diversity_loss


def ours(model, batch) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    output = model(
        batch["input_values"],
        attention_mask=batch.get("attention_mask"),
        mask_time_indices=batch["mask_time_indices"],
    )
    losses_N, _ = contrastive_losses(
        output.projected_states,
        output.projected_quantized_states,
        batch["mask_time_indices"],
        batch["sampled_negative_indices"],
        model.config.contrastive_logits_temperature,
    )
    num_codes = model.config.num_codevector_groups * model.config.num_codevectors_per_group
    diversity = (num_codes - output.codevector_perplexity) / num_codes
    return losses_N.sum(), diversity * batch["num_items"]


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("overrides", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize("lengths", [(4000, 3000, 5000, 700), (4000, 4000)])
def test_losses_and_gradients_are_those_of_the_stock_forward(overrides, lengths):
    model = the_model(**overrides)
    batch = a_batch(model, lengths)
    for loss in (wanted := stock(model, batch)):
        assert loss.isfinite()
    (wanted[0] + 0.1 * wanted[1]).backward()
    wanted_gradients = gradients(model)
    model.zero_grad()
    use_channels_last(model)
    given = ours(model, batch)
    (given[0] + 0.1 * given[1]).backward()
    for one, other in zip(wanted, given, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    given_gradients = gradients(model)
    assert given_gradients.keys() == wanted_gradients.keys()
    scale = max(gradient.abs().max() for gradient in wanted_gradients.values())
    for name, gradient in wanted_gradients.items():
        torch.testing.assert_close(given_gradients[name], gradient, rtol=1e-3, atol=1e-5 * scale.item(), msg=name)


def naive_loss(predicted, target, hidden, negatives, temperature) -> list[float]:
    losses = []
    flat = target.flatten(0, 1)
    for b, t in hidden.nonzero().tolist():
        anchor, positive = predicted[b, t], target[b, t]
        logits = [torch.cosine_similarity(anchor, positive, dim=0) / temperature]
        for index in negatives[b, t].tolist():
            if not torch.equal(flat[index], positive):
                logits.append(torch.cosine_similarity(anchor, flat[index], dim=0) / temperature)
        losses.append(-logits[0].item() + torch.stack(logits).logsumexp(0).item())
    return losses


def a_case(num_codes: int | None = None):
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 7, 5, generator=generator)
    target = torch.randn(3, 7, 5, generator=generator)
    if num_codes:  # few codes: many targets are equal
        target = torch.randn(num_codes, 5, generator=generator)[torch.randint(num_codes, (3, 7), generator=generator)]
    hidden = torch.tensor([[1, 1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    places = [[0, 1, 3, 4], [12, 13]]
    negatives = torch.zeros(3, 7, 6, dtype=torch.long)
    for b, t in hidden.nonzero().tolist():
        others = [place for place in places[b] if place != 7 * b + t]
        negatives[b, t] = torch.tensor([others[i % len(others)] for i in range(6)])
    return predicted, target, hidden, negatives


@pytest.mark.parametrize("num_codes", [None, 2, 1])
def test_contrastive_losses_against_a_loop(num_codes):
    case = a_case(num_codes)
    losses_N, _ = contrastive_losses(*case, temperature=0.1)
    np.testing.assert_allclose(losses_N.numpy(), naive_loss(*case, temperature=0.1), rtol=1e-4, atol=1e-5)


def test_one_code_alone_is_a_collapse_of_loss_0_and_accuracy_1():
    losses_N, is_right_N = contrastive_losses(*a_case(num_codes=1))
    assert losses_N.tolist() == [0.0] * 6 and is_right_N.all()


def test_chance_where_nothing_is_known():
    _, target, hidden, negatives = a_case()
    losses_N, is_right_N = contrastive_losses(torch.zeros_like(target), target, hidden, negatives)
    np.testing.assert_allclose(losses_N.numpy(), math.log(7), rtol=1e-6)
    assert not is_right_N.any()


def test_gradients_are_those_of_differences():
    predicted, target, hidden, negatives = (x.double() if x.is_floating_point() else x for x in a_case())
    # float32 inside, so with coarse steps
    inputs = (predicted.requires_grad_(), target.requires_grad_())
    torch.autograd.gradcheck(
        lambda p, t: contrastive_losses(p, t, hidden, negatives, 1.0)[0], inputs, eps=1e-2, atol=1e-2, rtol=1e-2
    )


def test_perplexities_of_known_distributions():
    even = torch.zeros(1000, 2, 8)
    even[torch.arange(1000), :, torch.arange(1000) % 8] = 50.0
    for perplexity in perplexities(even):
        assert perplexity.item() == pytest.approx(16.0, rel=1e-4)
    # always the same code, but hardly preferred: the codes have collapsed, the probabilities have not
    codes, probabilities = perplexities(torch.tensor([0.01, 0.0, 0.0, 0.0]).expand(10, 1, 4))
    assert codes.item() == pytest.approx(1.0) and probabilities.item() == pytest.approx(4.0, rel=1e-3)


def test_perplexity_of_probabilities_is_the_stock_one():
    model = the_model()
    batch = a_batch(model)
    with watched(model) as seen:
        output = model(batch["input_values"], mask_time_indices=batch["mask_time_indices"])
    logits = seen.code_logits[batch["mask_time_indices"]].unflatten(-1, (model.config.num_codevector_groups, -1))
    torch.testing.assert_close(perplexities(logits)[1], output.codevector_perplexity)


def test_the_gradient_into_the_extractor_is_scaled_and_nothing_else():
    model, scaled = the_model(), the_model()
    batch = a_batch(model)
    for one, scale in ((model, 1.0), (scaled, 0.25)):
        torch.manual_seed(1)
        with watched(one, scale) as seen:
            output = one(batch["input_values"], mask_time_indices=batch["mask_time_indices"])
        (output.projected_states.square().sum() + seen.features_BCT.square().mean()).backward()
    for (name, parameter), other in zip(model.named_parameters(), scaled.parameters(), strict=True):
        if parameter.grad is not None:
            factor = 0.25 if "feature_extractor" in name else 1.0
            torch.testing.assert_close(other.grad, factor * parameter.grad, rtol=1e-4, atol=1e-7)


def test_scale_gradient_keeps_the_values():
    values = torch.randn(5)
    assert torch.equal(scale_gradient(values, 0.1), values)
