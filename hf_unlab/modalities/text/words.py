"""A tokenizer of whole words: what a table of word embeddings is kept by."""

from collections.abc import Iterable
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
    tokenizer = Tokenizer(models.WordLevel({}, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+"), "removed", invert=True)
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
    frame = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)
