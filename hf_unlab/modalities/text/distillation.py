"""From a transformer to a static table, without any text: what it makes of each token alone, in few components.

As Model2Vec does it (https://github.com/MinishLab/model2vec): seconds to minutes, for a table that embeds texts some
hundred times as fast as its teacher.

Legend: V ids of the vocabulary, N tokens that are no special ones, F features of the teacher, D of the table.
"""

import copy
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from transformers import PreTrainedTokenizerBase

from hf_unlab.modalities.running import device_of, evaluating
from hf_unlab.modalities.text.encoder import TextEncoder, load_encoder
from hf_unlab.modalities.text.models import num_embeddings_for
from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.modalities.text.tokens import special_tokens, unbounded
from hf_unlab.modalities.text.words import word_tokenizer_of


def distil_static(
    checkpoint: str | Path,
    *,
    num_features: int = 256,
    sif_coefficient: float = 1e-4,
    vocabulary: Sequence[str] | None = None,
) -> StaticModel:
    """A table of what a transformer makes of each token by itself.

    Each token goes through the teacher between its special tokens and is pooled as the checkpoint says (of one that
    says nothing all layers are side by side, as `load_encoder` has it); the vectors become their principal components,
    each weighted as smooth inverse frequency does (Arora et al. 2017, https://openreview.net/forum?id=SyK00v5xx):
    a / (a + p), where p is the frequency of its rank by Zipf's law.

    Args:
        checkpoint: A folder or a Hub id of a text encoder, but not a static one.
        num_features: D; at most the teacher's features, and at most the tokens.
        sif_coefficient: a; smaller ones weigh frequent tokens less.
        vocabulary: Words, the commonest first, that the table is of, in place of the teacher's tokens; in lower case.
            Of the teacher's tokens the order of their ids is taken for that of their frequencies, as it is in most
            vocabularies.

    Returns:
        A model to save, or to go on training from; its special tokens, the unknown and unused ones
        among them, are zeros.

    Raises:
        ValueError: The teacher is a table, its tokenizer is not a fast one, there are fewer features or tokens than
            `num_features`, `sif_coefficient` is not above 0, or a word can never be found.

    Example:
        >>> model = distil_static("out/checkpoint")  # doctest: +SKIP
        >>> model.save_pretrained("out/static")  # doctest: +SKIP
    """
    if not sif_coefficient > 0:
        raise ValueError(f"sif_coefficient must be above 0, not {sif_coefficient}; 1e-4 is usual.")
    encoder = load_encoder(checkpoint)
    if not isinstance(encoder, TextEncoder):
        raise ValueError(f"{checkpoint} is a static table already; distil a transformer.")
    if not encoder.processor.is_fast:
        raise ValueError(f"The tokenizer of {checkpoint} is a slow one, which a table cannot be saved with.")
    tokenizer = copy.deepcopy(encoder.processor) if vocabulary is None else word_tokenizer_of(vocabulary)
    unbounded(tokenizer)  # a table reads texts of any length
    ids_N = _ordinary_ids(tokenizer)
    rows = _rows_of(encoder, ids_N) if vocabulary is None else _rows_of_words(encoder, vocabulary)
    vectors_NF = embed_tokens(encoder, rows)
    most = min(vectors_NF.shape)
    if not 1 <= num_features <= most:
        raise ValueError(
            f"num_features is {num_features}; of {len(vectors_NF)} tokens with {vectors_NF.shape[1]} features each "
            f"there are 1 to {most} components."
        )
    # in double precision: a covariance squares what sets components apart
    components_ND = PCA(num_features, svd_solver="covariance_eigh").fit_transform(vectors_NF.astype(np.float64))
    weights_VD = torch.zeros(num_embeddings_for(tokenizer), num_features)
    weights_N = zipf_sif_weights(len(ids_N), sif_coefficient)
    weights_VD[ids_N] = torch.from_numpy(components_ND * weights_N[:, None]).float()
    return StaticModel(tokenizer, weights_VD)


def zipf_sif_weights(num_tokens: int, coefficient: float) -> np.ndarray:
    """a / (a + p) of the tokens of ranks 1 to N, p being 1 / rank over the sum of all of them.

    Args:
        num_tokens: N.
        coefficient: a.

    Returns:
        (N,), rising.

    Example:
        >>> zipf_sif_weights(2, 1 / 3).round(4).tolist()  # p are 2/3 and 1/3
        [0.3333, 0.5]
    """
    shares_N = 1 / np.arange(1, num_tokens + 1)
    return coefficient / (coefficient + shares_N / shares_N.sum())


def embed_tokens(encoder: TextEncoder, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """What an encoder makes of short runs of token ids, special ones among them.

    Args:
        encoder: The teacher, which pools as it does texts.
        rows: N of them.

    Returns:
        (N, F), float32.
    """
    vectors_NF = None
    device = device_of(encoder.model)
    with evaluating(encoder.model), torch.inference_mode():
        for indices, batch in encoder.batches(list(rows)):
            vectors_BF = encoder.embed({name: tensor.to(device) for name, tensor in batch.items()}).cpu().numpy()
            if vectors_NF is None:
                vectors_NF = np.zeros((len(rows), vectors_BF.shape[1]), dtype=np.float32)
            vectors_NF[indices] = vectors_BF
    assert vectors_NF is not None
    return vectors_NF


def _ordinary_ids(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Ids of all tokens but special ones, ascending; BERT's unused ones would take the ranks of the commonest."""
    special = set(tokenizer.all_special_ids)
    names = sorted((number, name) for name, number in tokenizer.get_vocab().items() if number not in special)
    return np.array([number for number, name in names if not re.fullmatch(r"\[unused\d+\]", name)])


def _rows_of(encoder: TextEncoder, ids_N: np.ndarray) -> list[list[int]]:
    prefix, suffix = special_tokens(encoder.processor)
    return [[*prefix, token_id, *suffix] for token_id in ids_N.tolist()]


def _rows_of_words(encoder: TextEncoder, words: Sequence[str]) -> list[list[int]]:
    """Each word as its tokens; of a longer one than the teacher reads the beginning."""
    prefix, suffix = special_tokens(encoder.processor)
    room = encoder.max_length - len(prefix) - len(suffix)
    found = encoder.processor(list(words), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return [[*prefix, *ids[:room], *suffix] for ids in found]
