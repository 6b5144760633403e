"""The middle of gradient caching: gradients of a contrastive loss with respect to features without a graph.

Legend: B pairs of this rank, D features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hf_unlab.losses.contrastive import GatheredFeatures, precise_dtype


@dataclass(frozen=True)
class FeatureGradients:
    """A loss and its gradients.

    Args:
        loss_sum: (), this rank's loss, summed over its pairs, without a graph.
        image_BD: Gradient with respect to this rank's image features of the losses of all ranks together.
        text_BD: The same of the text features.
        logit_scale: (), this rank's share: the sum over the ranks is the gradient of the losses of all ranks together.
        logit_bias: (), the same of the bias; None if there is none.
    """

    loss_sum: torch.Tensor
    image_BD: torch.Tensor
    text_BD: torch.Tensor
    logit_scale: torch.Tensor
    logit_bias: torch.Tensor | None


def cached_feature_gradients(
    image_BD: torch.Tensor,
    text_BD: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None,
    loss_fn: Callable[..., torch.Tensor],
    gather: Callable[[torch.Tensor, torch.Tensor], GatheredFeatures] | None = None,
) -> FeatureGradients:
    """The middle of gradient caching (GradCache; Gao et al. 2021, https://huggingface.co/papers/2101.06983).

    First encode every chunk of the step without a graph and join the features; this finds the gradients of the whole
    step with respect to them. Then encode every chunk again, now with a graph and the same random numbers, and go back
    through it from its rows of the gradients. That gives the gradients of the whole batch at the memory of one chunk.
    Gradients of scale and bias belong to the step: go back through them once, not with every chunk.

    Args:
        image_BD: Features of all images of this rank's step; a graph behind them is not followed.
        text_BD: Features of the texts; row i belongs to image i.
        logit_scale: (), inverse temperature, already exponentiated.
        logit_bias: () or None.
        loss_fn: `info_nce_loss`, `sigmoid_loss`, or one with `functools.partial(info_nce_loss, chunk_size=1024)`.
        gather: `gather_features`, which finds the features of all ranks; None to train on this rank's alone.

    Returns:
        The loss, and gradients in the types of what they are the gradients of.

    Example:
        >>> from hf_unlab.losses.contrastive import info_nce_loss
        >>> features_BD = torch.eye(2)
        >>> gradients = cached_feature_gradients(features_BD, features_BD, torch.tensor(1.0), None, info_nce_loss)
        >>> gradients.logit_scale, gradients.image_BD
        (tensor(-0.5379), tensor([[-0.2689,  0.2689],
                [ 0.2689, -0.2689]]))
    """
    inputs = [tensor for tensor in (image_BD, text_BD, logit_scale, logit_bias) if tensor is not None]
    # in float32 from here on: half-precision gradients would be rounded on every rank before they are summed
    leaves = [tensor.detach().to(precise_dtype(tensor)).requires_grad_() for tensor in inputs]
    image, text, scale, bias = leaves if logit_bias is not None else (*leaves, None)
    with torch.enable_grad():
        loss_sum = loss_fn(image, text, scale, bias, gathered=None if gather is None else gather(image, text))
    # InfoNCE does not read the bias: its gradient is zeros, not None, so that DDP finds it used
    gradients = torch.autograd.grad(loss_sum, leaves, materialize_grads=True)
    typed = [gradient.to(tensor.dtype) for gradient, tensor in zip(gradients, inputs, strict=True)]
    image, text, scale, bias = typed if logit_bias is not None else (*typed, None)
    return FeatureGradients(loss_sum.detach(), image, text, scale, bias)
