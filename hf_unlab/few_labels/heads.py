"""Heads of classifiers: one that reads what a linear probe reads, and may begin as one; where a classifier's own is.

In the names: M labelled examples, N examples, D features, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_unlab.evaluation.features import features_of, over_batches
from hf_unlab.evaluation.probes import LinearProbe, Scaling, fit_probe
from hf_unlab.evaluation.side_by_side import to_norm_1
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.running import device_of, seeded

_COMMON_HEADS = ("classifier", "score", "head")


class ReadOut(nn.Module):
    """An encoder and a linear head that reads what a linear probe would read.

    Features are standardised across their dimensions on the way: those of a contrastive encoder have unit norm, and a
    head at an ordinary learning rate would take long to read entries of size 1 / sqrt(D). The head begins at zero:
    what a random one sends back spoils pretrained weights before it has learnt anything. On docstrings (10 labels a
    class, two draws) fine-tuning then scored .49 in place of .41.

    Args:
        encoder: Its model is trained.
        num_features: D of what `encoder.embed` gives.
        num_labels: Number of classes.
    """

    def __init__(self, encoder: Encoder, num_features: int, num_labels: int) -> None:
        super().__init__()
        self.model = encoder.model
        self._embed = encoder.embed
        self.head = nn.Sequential(
            nn.LayerNorm(num_features, elementwise_affine=False), nn.Linear(num_features, num_labels)
        )
        nn.init.zeros_(self.head[1].weight)
        nn.init.zeros_(self.head[1].bias)

    def forward(self, **batch: torch.Tensor) -> SequenceClassifierOutput:
        """From a batch of the encoder's to logits (B, num_labels)."""
        return SequenceClassifierOutput(logits=self.head(self._embed(batch)))


def read_out(encoder: Encoder, num_classes: int, seed: int, example: Any) -> ReadOut:
    """A fresh `ReadOut` in float32, random weights drawn from the seed.

    Args:
        encoder: From which a model of its own is made.
        num_classes: C.
        seed: Draws random weights.
        example: One input, which tells how many features there are.
    """
    own = encoder.fresh(seed)
    num_features = features_of(own, [example]).shape[1]
    with seeded(seed):  # torch draws the head before it is set to zero
        return ReadOut(own, num_features, num_classes).to(device_of(own.model)).float()


def begin_at_probe(model: ReadOut, encoder: Encoder, inputs: Sequence[Any], labels_M: np.ndarray) -> LinearProbe:
    """Sets the head to a linear probe of what it reads; the first half of LP-FT.

    A head that is right at once sends little back through the encoder, whose features stay those that pretraining
    made while they are fitted to the labels (Kumar et al. 2022, https://huggingface.co/papers/2202.10054).

    Args:
        model: Its head is written to.
        encoder: Makes its batches.
        inputs: M inputs.
        labels_M: Class indices, (M,), of two classes at least. A class with no label begins as the unlikeliest.

    Returns:
        The probe, whose probabilities are now those of the model, but for a class that has no label.
    """
    norm, linear = model.head
    features_MD = over_batches(encoder, model, lambda batch: norm(model._embed(batch)), inputs)
    probe = fit_probe(features_MD, labels_M, Scaling.fitted(features_MD))
    weights_DK, bias_K = probe.weights_DK, probe.bias_K
    if weights_DK.shape[1] == 1:  # scores of the second of two classes
        weights_DK, bias_K = np.hstack([-weights_DK, weights_DK]) / 2, np.array([-bias_K[0], bias_K[0]]) / 2
    bias_C = np.full(linear.out_features, (features_MD @ weights_DK + bias_K).min())
    weights_CD = np.zeros((linear.out_features, linear.in_features))
    bias_C[probe.classes], weights_CD[probe.classes] = bias_K, weights_DK.T
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weights_CD))
        linear.bias.copy_(torch.from_numpy(bias_C))
    return probe


def unit_features(encoder: Encoder, inputs: Sequence[Any]) -> np.ndarray:
    """Features of norm 1, (N, D): it is their directions that pairs compare."""
    return to_norm_1(features_of(encoder, inputs))


def centroids(features_MD: np.ndarray, labels_M: np.ndarray) -> LogisticRegression:
    """Softmax of minus the squared distances to the means of the classes, as the logistic regression that it is.

    Prototypical networks (Snell et al. 2017, https://huggingface.co/papers/1703.05175) answer so. scikit-learn's
    NearestCentroid wants two labels of a class, and its probabilities are of other distances than its answers.

    Args:
        features_MD: With a label each.
        labels_M: Class indices.

    Example:
        >>> head = centroids(np.array([[0.0], [2.0], [5.0]]), np.array([3, 3, 7]))
        >>> head.predict(np.array([[2.9], [3.1]])).tolist(), head.predict_proba(np.array([[3.0]])).tolist()
        ([3, 7], [[0.5, 0.5]])
    """
    classes = np.unique(labels_M)
    mean_CD = np.stack([features_MD[labels_M == label].mean(0, dtype=np.float64) for label in classes])
    coefficients_CD, intercept_C = 2 * mean_CD, -np.square(mean_CD).sum(1)
    if len(classes) == 2:  # scikit-learn keeps the scores of the second alone
        coefficients_CD, intercept_C = np.diff(coefficients_CD, axis=0), np.diff(intercept_C)
    head = LogisticRegression()
    head.classes_, head.n_features_in_ = classes, features_MD.shape[1]
    head.coef_, head.intercept_ = coefficients_CD, intercept_C
    return head


def said(head: LogisticRegression, features_ND: np.ndarray, num_classes: int) -> np.ndarray:
    """Probabilities of each class, (N, C); 0 of a class that had no label.

    Args:
        head: Its classes are class indices.
        features_ND: What it reads.
        num_classes: C.

    Example:
        >>> said(centroids(np.array([[0.0], [2.0]]), np.array([0, 2])), np.array([[1.0]]), 3).tolist()
        [[0.5, 0.0, 0.5]]
    """
    found_NC = np.zeros((len(features_ND), num_classes))
    found_NC[:, head.classes_] = head.predict_proba(features_ND)
    return found_NC


def head_modules(classifier: nn.Module) -> list[str]:
    """Names of the parts that are new in a classifier: of its head, and of the pooler that the head reads.

    Pretraining trains no pooler, so checkpoints mostly have none and a fresh one is drawn; what is saved of an adapted
    classifier has to hold it.

    Args:
        classifier: A `ReadOut`, or as `Encoder.classifier` makes it.

    Raises:
        ValueError: The head cannot be told from the encoder.

    Example:
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        >>> head_modules(BertForSequenceClassification(BertConfig(vocab_size=9, **sizes)))
        ['classifier', 'bert.pooler.dense']
    """
    modules = {name: part for name, part in classifier.named_modules() if any(True for _ in part.parameters())}
    tower = classifier.base_model if isinstance(classifier, PreTrainedModel) else classifier
    if tower is not classifier:
        names = [name for name, part in classifier.named_children() if name in modules and part is not tower]
        within = [name for name, part in modules.items() if name.rpartition(".")[2] == "pooler"]
        names += [name for name in within if name.startswith(f"{classifier.base_model_prefix}.")]
    else:
        names = [name for name in _COMMON_HEADS if name in modules]
    if not names:
        raise ValueError(
            f"{type(classifier).__name__} has no head apart from its encoder; take head='probe', or kind='full'."
        )
    # parts that hold weights themselves, as whole names: peft takes each module whose name ends so
    return [
        part for name in names for part in modules if f"{part}.".startswith(f"{name}.") and _has_own(modules[part])
    ]


def _has_own(part: nn.Module) -> bool:
    return any(True for _ in part.parameters(recurse=False))


def name_classes(config: Any, names: Sequence[str]) -> None:
    """Tell a classifier's configuration what its classes are called.

    Args:
        config: Of transformers.
        names: One a class.

    Raises:
        ValueError: There are not as many names as classes.
    """
    if len(names) != config.num_labels:
        raise ValueError(f"There are {len(names)} label_names for {config.num_labels} classes; give one a class.")
    config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
