"""A tokenizer of whole words: what a table of word embeddings is kept by."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
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
    tokenizer = _untrained({})
    special_tokens = list(SPECIAL_TOKENS.values())
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special_tokens, show_progress=False
    )
    texts = (valid_unicode(text) for text in texts if text.strip())
    first = next(texts, None)
    if first is None:
        raise ValueError("The tokenizer cannot be trained: the stream holds no text.")
    tokenizer.train_from_iterator(chain([first], texts), trainer=trainer)
    if tokenizer.get_vocab_size() <= len(special_tokens):
        raise ValueError(
            f"No word of the texts occurs {min_frequency} times, so there is none to learn from; give more text, or "
            "min_frequency=1."
        )
    return _framing(tokenizer)


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
    special_tokens = list(SPECIAL_TOKENS.values())
    if not words:
        raise ValueError("The list of words is empty; give some, the commonest first.")
    if twice := [word for word, number in Counter(words).items() if number > 1]:
        raise ValueError(f"{len(twice)} words are given more than once, such as {twice[0]!r}; give each once.")
    vocabulary = {word: number for number, word in enumerate([*special_tokens, *words])}
    tokenizer = _untrained(vocabulary)
    tokenizer.add_special_tokens(special_tokens)
    found = tokenizer.encode_batch_fast(words, add_special_tokens=False)
    if lost := [word for word, one in zip(words, found, strict=True) if one.ids != [vocabulary[word]]]:
        raise ValueError(
            f"{len(lost)} of {len(words)} words would never be found in a text, such as {lost[0]!r}: give them in "
            r"lower case, each one run of letters, digits and underscores (\w+)."
        )
    return _framing(tokenizer)


def whole_words(tokenizer: Tokenizer) -> dict[str, int] | None:
    """The words and ids of a tokenizer that cuts texts as `train_word_tokenizer`'s do; None of any other."""
    ours, given = (json.loads(one.to_str()) for one in (_untrained({}), tokenizer))
    is_ours = all(ours[part] == given[part] for part in ("normalizer", "pre_tokenizer"))
    has_words = given["model"]["type"] == "WordLevel" and given["model"]["unk_token"] == SPECIAL_TOKENS["unk_token"]
    return given["model"]["vocab"] if is_ours and has_words else None


def _untrained(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+"), "removed", invert=True)
    return tokenizer


def _framing(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """With `[CLS] ... [SEP]` where special tokens are asked for."""
    frame = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)
