"""Raw text to sequences of equal length.

Legend: N sequences, T tokens in a sequence.
"""

from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from hf_unlab.streams.bad_examples import BadExample, Example
from hf_unlab.streams.content import valid_unicode


def text_problem(example: dict[str, Any], *, column: str = "text", max_characters: int = 10_000_000) -> str | None:
    """Why a text cannot be learnt from, or None if it can; the `check` of readers of text.

    Args:
        example: A raw example.
        column: The column that holds the text.
        max_characters: A longer one is no text that somebody wrote: a dump, or files run together.

    Example:
        >>> [text_problem({"text": text}, max_characters=9) for text in ["fine", " ", None, 7, float("nan"), "a" * 10]]
        [None, 'empty', 'missing', 'int instead of text', 'NaN', 'longer than 9 characters']
    """
    text = example[column]
    if text is None:
        return "missing"
    if not isinstance(text, str):
        return "NaN" if isinstance(text, float) and text != text else f"{type(text).__name__} instead of text"
    if len(text) > max_characters:
        return f"longer than {max_characters:,} characters"
    return "empty" if not text or text.isspace() else None


def cut_text(example: Example, *, column: str = "text", max_characters: int) -> Example:
    """An example whose text ends after so many characters; the `decode` of readers of labelled texts.

    Raises:
        BadExample: There is no text, or nothing in it.

    Example:
        >>> cut_text({"text": "a long text"}, max_characters=6)
        {'text': 'a long'}
    """
    if problem := text_problem(example, column=column, max_characters=1 << 60):
        raise BadExample(problem)
    return {**example, column: valid_unicode(example[column][:max_characters])}


def caption_problem(example: Example, *, column: str = "text", max_characters: int = 100_000) -> str | None:
    """Why an example's captions cannot be learnt from, or None if they can; the `check` of readers of pairs.

    Args:
        example: A raw example. Of several captions one good one is enough.
        column: The column that holds a text, or a list of texts.
        max_characters: A longer text is no caption.

    Example:
        >>> [caption_problem({"text": text}) for text in ["a river", ["", "a town"], [], [" "], None]]
        [None, None, 'no caption', 'empty', 'missing']
    """
    captions = _all_captions(example[column])
    if not captions:
        return "no caption"
    problems = [text_problem({column: text}, column=column, max_characters=max_characters) for text in captions]
    return None if None in problems else problems[0]


def captions_of(value: Any) -> list[str]:
    """The good captions of a cell that holds a text or a list of texts, in their order.

    Example:
        >>> captions_of("a river"), captions_of(["", "a town", None, "a stone"])
        (['a river'], ['a town', 'a stone'])
    """
    good = [text for text in _all_captions(value) if caption_problem({"text": text}) is None]
    return [valid_unicode(text) for text in good]


def _all_captions(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def tokenise_texts(texts: list[Any], tokenizer: PreTrainedTokenizerBase, *, column: str = "text") -> list[list[int]]:
    """Token ids of texts, framed by the tokenizer's own special tokens and never truncated.

    Args:
        texts: None and blank texts yield nothing.
        tokenizer: Any tokenizer of transformers.
        column: Where they stood, for messages.

    Raises:
        ValueError: One is no text.
    """
    texts = [text for text in texts if text is not None]
    if wrong := next((text for text in texts if not isinstance(text, str)), None):
        raise ValueError(f"The column {column!r} must hold text, but holds {type(wrong).__name__}: {wrong!r:.80}.")
    texts = [valid_unicode(text) for text in texts if text.strip()]
    if not texts:
        return []
    # verbose=False: long documents are packed, so the warning that they exceed the model's length is beside the point
    encoded = tokenizer(texts, return_attention_mask=False, return_token_type_ids=False, verbose=False)
    return encoded["input_ids"]


def pack_texts(
    block: list[Example],
    first: int,
    *,
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    seed: int | None,
    column: str = "text",
) -> list[Example]:
    """`tokenise_texts`, then `pack_documents`: the `prepare` of readers of packed text."""
    documents = tokenise_texts([example[column] for example in block], tokenizer, column=column)
    return pack_documents(documents, length, None if seed is None else (seed, first))


def pack_documents(documents: list[list[int]], length: int, seed: tuple[int, ...] | None = None) -> list[Example]:
    """Join documents and cut them into sequences of one length: no padding, no truncation.

    The last sequence reaches back to fill itself, so every token is seen and a few are seen twice; only what is
    altogether shorter than one sequence is dropped.

    Args:
        documents: The token ids of each.
        length: T, tokens in a sequence.
        seed: Put the sequences in random order; else the pieces of a long document follow one another and fill whole
            batches, which slows learning.

    Returns:
        Of each sequence `input_ids` (T,) int64 and `document_ids` (T,) int64, which number the documents inside it
        from 0, so that attention can be kept inside each (`hf_unlab.objectives.masked_lm.architecture`).

    Raises:
        ValueError: `length` is below 1.

    Example:
        >>> for row in pack_documents([[1, 2, 3], [4, 5]], length=3):
        ...     print(row["input_ids"], row["document_ids"])
        [1 2 3] [0 0 0]
        [3 4 5] [0 1 1]
    """
    if length < 1:
        raise ValueError(f"A sequence must be at least 1 token long, not {length}.")
    sizes = [len(ids) for ids in documents]
    total = sum(sizes)
    if total < length:
        return []
    tokens = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in documents])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.arange(0, total - length + 1, length)
    if total % length:
        starts = np.append(starts, total - length)
    if seed is not None:
        starts = np.random.default_rng(seed).permutation(starts)
    places_NT = starts[:, None] + np.arange(length)
    owners_NT = owners[places_NT]
    document_ids_NT = np.cumsum(np.diff(owners_NT, axis=1, prepend=owners_NT[:, :1]) > 0, axis=1)
    rows = zip(tokens[places_NT], document_ids_NT, strict=True)
    return [{"input_ids": ids_T, "document_ids": documents_T} for ids_T, documents_T in rows]
