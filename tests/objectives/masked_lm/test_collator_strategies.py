"""Batches of every strategy depend on (seed, k) alone; words are masked whole, in real text of real documents."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_unlab.modalities.text.masking import IGNORED
from hf_unlab.modalities.text.reading import pack_documents, tokenise_texts
from hf_unlab.objectives.masked_lm.collator import MaskedLMCollator
from hf_unlab.objectives.masked_lm.words import find_words
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_texts, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ROWS = pack_documents(tokenise_texts(tiny_texts(400), TOKENIZER, column="text"), 48, (0, 0))
STRATEGIES = ["tokens", "words", "spans"]


@pytest.fixture(params=STRATEGIES)
def collator(request):
    return MaskedLMCollator(TOKENIZER, strategy=request.param, seed=3)


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def test_a_batch_depends_on_seed_and_k_alone(collator):
    batches = {k: collator(ROWS[:8], Place(k)) for k in (7, 8)}
    assert not same(batches[7], batches[8])
    assert not same(replace(collator, seed=4)(ROWS[:8], Place(7)), batches[7])
    anew = MaskedLMCollator(tiny_tokenizer(), strategy=collator.strategy, seed=3)  # as a run that resumes at 8
    assert same(anew(ROWS[:8], Place(8)), batches[8])
    assert same(pickle.loads(pickle.dumps(collator))(ROWS[:8], Place(7)), batches[7])
    assert same(collator(ROWS[:8], Place(7)), batches[7])


def test_strategies_differ():
    batches = [MaskedLMCollator(TOKENIZER, strategy=one)(ROWS[:8], Place(0)) for one in STRATEGIES]
    assert len({batch["labels"].numpy().tobytes() for batch in batches}) == 3


def test_shares_are_met_and_special_tokens_spared(collator):
    batches = [collator(ROWS[:40], Place(k)) for k in range(80)]
    labels = torch.cat([batch["labels"] for batch in batches]).numpy()
    shown = torch.cat([batch["input_ids"] for batch in batches]).numpy()
    ids = np.tile(np.stack([row["input_ids"] for row in ROWS[:40]]), (80, 1))
    special, chosen = np.isin(ids, TOKENIZER.all_special_ids), labels != IGNORED
    assert ids.size > 100_000 and special.any() and not (chosen & special).any()
    assert (labels[chosen] == ids[chosen]).all() and (shown[~chosen] == ids[~chosen]).all()

    def assert_share(hits, trials, share):
        """Rows are independent: within five standard errors."""
        of_row = hits.sum(axis=1) - share * trials.sum(axis=1)
        assert abs(of_row.sum()) < 5 * of_row.std() * np.sqrt(len(of_row))

    assert_share(chosen, ~special, 0.3)
    assert_share(chosen & (shown == TOKENIZER.mask_token_id), chosen, 0.8)
    another = chosen & (shown != ids) & (shown != TOKENIZER.mask_token_id)
    assert_share(another, chosen, 0.1 * (1 - 1 / len(collator.random_ids)))


@pytest.mark.parametrize("strategy", ["words", "spans"])
def test_words_are_masked_whole(strategy):
    collator = MaskedLMCollator(TOKENIZER, strategy=strategy)
    batch = collator(ROWS, Place(0))
    ids, documents = (np.stack([row[name] for row in ROWS]) for name in ("input_ids", "document_ids"))
    words = find_words(ids, documents, collator.token_marks)
    chosen = (batch["labels"] != IGNORED).numpy().ravel()
    for end, size in zip(words.sizes_W.cumsum(), words.sizes_W, strict=True):
        assert len(set(chosen[end - size : end])) == 1
    assert (words.sizes_W > 1).sum() > 1000


def test_the_tokens_of_a_span_share_their_fate():
    collator = MaskedLMCollator(TOKENIZER, strategy="spans", probability=0.05, random_share=0.0)
    batch = collator(ROWS, Place(0))
    chosen, shown = (batch["labels"] != IGNORED).flatten(), batch["input_ids"].flatten() == TOKENIZER.mask_token_id
    both = chosen[1:] & chosen[:-1]
    alike = (shown[1:] == shown[:-1])[both].float().mean()
    assert both.sum() > 300 and alike > 0.95  # 0.68 if each had its own; the rest is of spans side by side


@pytest.mark.parametrize("strategy", ["words", "spans"])
def test_the_vocabulary_is_gone_through_once(strategy, monkeypatch):
    collator, calls = MaskedLMCollator(TOKENIZER, strategy=strategy), []
    monkeypatch.setattr(type(TOKENIZER), "get_vocab", lambda self: calls.append(self))
    for k in range(3):
        pickle.loads(pickle.dumps(collator))(ROWS[:4], Place(k))  # as a worker gets it
    assert calls == []


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="mask_strategy must be one of tokens, words, spans, not 'sentences'"):
        MaskedLMCollator(TOKENIZER, strategy="sentences")
    with pytest.raises(ValueError, match=r"must lie between 1 and 5.5 .*not 12"):
        MaskedLMCollator(TOKENIZER, strategy="spans", span_words=12)
