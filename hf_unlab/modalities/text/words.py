"""A tokenizer of whole words: what a table of word embeddings is kept by."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hf_unlab.streams.content import valid_unicode

SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def train_word_tokenizer(
    texts: Iterable[str], vocab_size: int = 30_000, min_frequency: int = 2
) -> PreTrainedTokenizerFast:
    r"""Keep the commonest words, in lower case; a word is a run of letters, digits and underscores (`\w+`).

    For languages that put spaces between words. What stands between words is dropped, and rarer words are one unknown
    token, so that this is no tokenizer to write with: masked language models want `train_tokenizer`.

    Args:
        texts: Documents; read once.
        vocab_size: Words that are kept, and the five special tokens.
        min_frequency: Words that occur less often are not kept: of one that occurs once nothing can be learnt.

    Returns:
        A tokenizer that frames a text as `[CLS] ... [SEP]` where special tokens are asked for.

    Raises:
        ValueError: There is no text, or no word in it that occurs `min_frequency` times.

    Example:
        >>> tokenizer = train_word_tokenizer(["A river, a stream.", "The river"])
        >>> tokenizer.tokenize("A river's stream")
        ['a', 'river', '[UNK]', '[UNK]']
    """
    counts, num_texts = Counter[str](), 0
    cutter = _untrained({})
    for text in texts:
        if text.strip():
            num_texts += 1
            counts.update(_words(cutter, text) if (words := plain_words(text)) is None else words)
    if not num_texts:
        raise ValueError("The tokenizer cannot be trained: the stream holds no text.")
    frequent = [word for word, number in counts.items() if number >= min_frequency]
    if not frequent:
        raise ValueError(
            f"No word of the texts occurs {min_frequency} times, so there is none to learn from; give more text, or "
            "min_frequency=1."
        )
    frequent.sort(key=lambda word: (-counts[word], word))
    return _of_words(frequent[: max(0, vocab_size - len(SPECIAL_TOKENS))])


def word_tokenizer_of(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer like that of `train_word_tokenizer`, of words that are given.

    Args:
        words: In lower case and all different; their ids follow those of the five special tokens.

    Raises:
        ValueError: There is none, one is given twice, or one would never be found in a text.

    Example:
        >>> word_tokenizer_of(["river", "a"]).tokenize("A river town")
        ['a', 'river', '[UNK]']
    """
    words = list(words)
    if not words:
        raise ValueError("The list of words is empty; give some, the commonest first.")
    if twice := [word for word, number in Counter(words).items() if number > 1]:
        raise ValueError(f"{len(twice)} words are given more than once, such as {twice[0]!r}; give each once.")
    cutter = _untrained({})
    if lost := [word for word in words if _words(cutter, word) != [word]]:
        raise ValueError(
            f"{len(lost)} of {len(words)} words would never be found in a text, such as {lost[0]!r}: give them in "
            r"lower case, each one run of letters, digits and underscores (\w+)."
        )
    return _of_words(words)


def plain_words(text: str) -> list[str] | None:
    """The words of a text in plain Latin, Greek, Cyrillic or Armenian letters; None of any other.

    They are what the tokenizer cuts, in a quarter of its time, as it keeps where each word stands.

    Example:
        >>> plain_words("A river's Überfahrt"), plain_words("Δρόμος"), plain_words("川")
        (['a', 'river', 's', 'überfahrt'], ['δρόμος'], None)
    """
    return None if _NOT_PLAIN.search(text) else _WORD.findall(text.lower())


def whole_words(tokenizer: Tokenizer) -> dict[str, int] | None:
    """The words and ids of a tokenizer that cuts texts as `train_word_tokenizer`'s do; None of any other."""
    ours, given = (json.loads(one.to_str()) for one in (_untrained({}), tokenizer))
    is_ours = all(ours[part] == given[part] for part in ("normalizer", "pre_tokenizer"))
    has_words = given["model"]["type"] == "WordLevel" and given["model"]["unk_token"] == SPECIAL_TOKENS["unk_token"]
    return given["model"]["vocab"] if is_ours and has_words else None


_WORD = re.compile(r"\w+")
# Of what is left out here, Python's `lower` and `\w` and the tokenizer's differ (İ, Σ, marks), or nobody has looked.
_NOT_PLAIN = re.compile(
    "[^\\u0000-\\u012f\\u0131-\\u02ff\\u0370-\\u0373\\u0375-\\u03a2\\u03a4-\\u0482\\u048a-\\u058f"
    "\\u1e00-\\u1eff\\u2000-\\u203e\\u20a0-\\u20cf\\u2122]"
)


def _words(cutter: Tokenizer, text: str) -> list[str]:
    normalised = cutter.normalizer.normalize_str(valid_unicode(text))
    return [word for word, _ in cutter.pre_tokenizer.pre_tokenize_str(normalised)]


def _untrained(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+"), "removed", invert=True)
    return tokenizer


def _of_words(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """With `[CLS] ... [SEP]` where special tokens are asked for."""
    special_tokens = list(SPECIAL_TOKENS.values())
    tokenizer = _untrained({word: number for number, word in enumerate([*special_tokens, *words])})
    tokenizer.add_special_tokens(special_tokens)
    frame = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)
