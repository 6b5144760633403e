"""Which tokens of a packed sequence make a word: worked out once from the vocabulary, then looked up.

Legend: B batch, T tokens in a sequence, V ids of tokens, W words of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

# What is known of a token by its id; bits of `token_marks`.
BEGINS, ENDS, SPECIAL = 1, 2, 4
# A longer run of tokens is cut into words of so many: scripts without spaces, links and numbers have no words to find.
LONGEST_WORD = 16

_BYTES_OF_SPACE = tuple("ĠĊĉčċČ")  # the space, line breaks and tabs, as byte-level vocabularies write them
# How vocabularies tell words apart: what counts the tokens that show it, and what is then known of a token.
_Scheme = tuple[Callable[[str], bool], Callable[[str], int]]
_SCHEMES: tuple[_Scheme, ...] = (
    # byte-level BPE: Ġword
    (lambda token: token.startswith("Ġ"), lambda token: BEGINS * token.startswith(_BYTES_OF_SPACE)),
    # SentencePiece, Metaspace: ▁word
    (lambda token: token.startswith("▁"), lambda token: BEGINS * token.startswith("▁")),
    # WordPiece: wo ##rd; Markdown's ## and ### are no such thing
    (lambda token: token.startswith("##") and token.strip("#") != "", lambda token: BEGINS * _is_first_piece(token)),
    # BPE whose words end: wo rd</w> (XLM, FlauBERT)
    (lambda token: token.endswith("</w>"), lambda token: ENDS * token.endswith("</w>")),
    # BPE whose words go on: wo@@ rd (PhoBERT, BERTweet)
    (lambda token: token.endswith("@@"), lambda token: ENDS * (not token.endswith("@@"))),
)
_LEAST_SHARE = 0.001  # a vocabulary of whole words may hold a stray ▁; real ones mark a tenth of their tokens and more


def _is_first_piece(token: str) -> bool:
    return not token.startswith("##") or token == "##"


def token_marks(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """What each token says of words, by its id. It goes through the vocabulary: keep what it returns.

    Words are told by how the vocabulary writes them: `Ġword` (byte-level BPE), `▁word` (SentencePiece, Metaspace),
    `wo ##rd` (WordPiece), `wo rd</w>` or `wo@@ rd` (other BPE). Where it writes nothing of the kind, every token is a
    word. Special tokens, and those that were added to a vocabulary, are words by themselves.

    Args:
        tokenizer: A fast one or a slow one.

    Returns:
        (V,) uint8, V the highest id and 1: the sum of BEGINS, the token begins a word; ENDS, the one behind it does;
        SPECIAL, it is never predicted, and nothing goes on across it.

    Example:
        >>> from hf_unlab.testing import tiny_tokenizer
        >>> tokenizer = tiny_tokenizer()
        >>> ids = tokenizer("the oldest")["input_ids"]
        >>> for token, marks in zip(tokenizer.convert_ids_to_tokens(ids), token_marks(tokenizer)[ids]):
        ...     print(token, marks)
        [CLS] 7
        t 0
        he 0
        Ġold 1
        es 0
        t 0
        [SEP] 7
    """
    vocabulary = tokenizer.get_vocab()
    special_ids = np.array(tokenizer.all_special_ids, dtype=np.int64)
    alone = set(tokenizer.get_added_vocab())
    ordinary = {token: number for token, number in vocabulary.items() if token not in alone}
    counts = [sum(map(shows, ordinary)) for shows, _ in _SCHEMES]
    most = int(np.argmax(counts))
    marks_V = np.full(max([*vocabulary.values(), *special_ids.tolist()]) + 1, BEGINS | ENDS, dtype=np.uint8)
    if counts[most] > _LEAST_SHARE * len(ordinary):
        of_token = _SCHEMES[most][1]
        marks_V[list(ordinary.values())] = [of_token(token) for token in ordinary]
    marks_V[special_ids] = BEGINS | ENDS | SPECIAL
    return marks_V


@dataclass(frozen=True)
class Words:
    """The words of a batch, in order; every token is in one.

    Args:
        sizes_W: Tokens of each.
        is_first_W: Nothing goes on across its beginning: a row, a document, or what follows a special token begins.
        special_BT: Which tokens are special.
    """

    sizes_W: np.ndarray
    is_first_W: np.ndarray
    special_BT: np.ndarray

    def spread(self, values_W: np.ndarray) -> np.ndarray:
        """What holds for each word, for each of its tokens: (B, T)."""
        return np.repeat(values_W, self.sizes_W).reshape(self.special_BT.shape)


def find_words(input_ids_BT: np.ndarray, document_ids_BT: np.ndarray, marks_V: np.ndarray) -> Words:
    """Tell the words of packed sequences apart.

    Rows, documents and special tokens end a word, as do `LONGEST_WORD` tokens of it.

    Args:
        input_ids_BT: Token ids, not yet masked.
        document_ids_BT: Which document each token belongs to.
        marks_V: What `token_marks` gives.

    Example:
        >>> marks_V = np.array([BEGINS | ENDS | SPECIAL, BEGINS, 0], dtype=np.uint8)
        >>> words = find_words(np.array([[0, 2, 2, 1, 2, 2]]), np.array([[0, 0, 0, 0, 0, 1]]), marks_V)
        >>> words.sizes_W.tolist(), words.is_first_W.tolist()
        ([1, 2, 2, 1], [True, True, False, True])
    """
    marks_BT = marks_V[input_ids_BT]
    special_BT = marks_BT >= SPECIAL
    first_BT = special_BT.copy()
    first_BT[:, 0] = True
    first_BT[:, 1:] |= special_BT[:, :-1]
    first_BT[:, 1:] |= document_ids_BT[:, 1:] != document_ids_BT[:, :-1]
    begins_BT = first_BT | (marks_BT & BEGINS).astype(bool)
    begins_BT[:, 1:] |= (marks_BT[:, :-1] & ENDS).astype(bool)
    starts_W = np.flatnonzero(begins_BT)
    sizes_W = np.diff(starts_W, append=begins_BT.size)
    if sizes_W.max(initial=0) > LONGEST_WORD:
        places = np.arange(begins_BT.size) - np.repeat(starts_W, sizes_W)
        starts_W = np.flatnonzero(places % LONGEST_WORD == 0)
        sizes_W = np.diff(starts_W, append=begins_BT.size)
    return Words(sizes_W, first_BT.ravel()[starts_W], special_BT)
