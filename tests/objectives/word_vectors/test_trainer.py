"""Word vectors: what every objective owes, and that near words are told from far ones."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_unlab.losses.word_vectors import glove_losses, skip_gram_loss
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.modalities.text.words import train_word_tokenizer
from hf_unlab.objectives.word_vectors.trainer import WordVectorsTrainer, WordVectorsTrainingArguments
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_stream, tiny_texts
from tests.objectives.template import ObjectiveTemplate
from tests.training.helpers import TEXTS, TINY_RUN, At, stop


def make_trainer(folder, stream=None, callbacks=None, model=None, **settings):
    defaults = {**TINY_RUN, "per_device_eval_batch_size": 3, "max_document_tokens": 10, "window": 2}
    args = WordVectorsTrainingArguments(str(folder), **{**defaults, **settings})
    torch.manual_seed(0)
    stream = stream if stream is not None else tiny_stream(TEXTS, num_shards=3)
    return WordVectorsTrainer(model or tiny_static_model(), args, stream, callbacks=callbacks)


class OfWordVectors(ObjectiveTemplate):
    objective = ""

    def make(self, folder, callbacks=None, rows=None, **settings):
        texts = [row["text"] for row in rows or self.rows()]
        return make_trainer(
            folder, tiny_stream(texts, num_shards=3), callbacks, **{"objective": self.objective, **settings}
        )

    def rows(self):
        return [{"text": text} for text in TEXTS]


FIXED = {
    "max_document_tokens": 9,
    "num_counted_examples": 7,
    "window": 3,
    "num_negatives": 4,
    "negative_power": 0.5,
    "subsampling_threshold": 1e-2,
}


class TestSkipGram(OfWordVectors):
    objective = "skip_gram"
    fixed: ClassVar = {**FIXED, "objective": "glove"}


class TestGlove(OfWordVectors):
    objective = "glove"
    fixed: ClassVar = {**FIXED, "objective": "skip_gram"}


def batch_of(trainer):
    return next(iter(trainer.get_train_dataloader()))


def test_the_loss_of_skip_gram_is_of_the_table_and_the_contexts(tmp_path):
    trainer = make_trainer(tmp_path)
    context = torch.nn.init.normal_(trainer.auxiliary["context"].weight)
    table, batch = trainer.model.embedding.weight, batch_of(trainer)
    words, negatives = batch["input_ids"], batch["negative_ids"]
    expected = skip_gram_loss(table[words], context[words], context[negatives], batch["pairs"])
    term = trainer.compute_objective(trainer.model, batch).terms["skip_gram"]
    torch.testing.assert_close(term.sum, expected)
    term.sum.backward()
    assert context.grad.abs().sum() > 0 and trainer.auxiliary["biases"].weight.grad is None
    read = set(words.flatten().tolist())
    assert {place for place, row in enumerate(table.grad) if row.any()} <= read


def test_the_loss_of_glove_is_of_the_table_the_contexts_and_the_biases(tmp_path):
    trainer = make_trainer(tmp_path, objective="glove", glove_saturation=2.0, glove_power=0.5)
    biases, context = trainer.auxiliary["biases"].weight, trainer.auxiliary["context"].weight
    torch.nn.init.normal_(biases)
    table, batch = trainer.model.embedding.weight, batch_of(trainer)
    words, contexts = batch["input_ids"][batch["rows"]], batch["input_ids"][batch["columns"]]
    scores_N = (table[words] * context[contexts]).sum(-1) + biases[words, 0] + biases[contexts, 1]
    expected = glove_losses(scores_N, batch["counts"], saturation=2.0, power=0.5).sum()
    term = trainer.compute_objective(trainer.model, batch).terms["glove"]
    torch.testing.assert_close(term.sum, expected)
    term.sum.backward()
    assert biases.grad.abs().sum() > 0 and context.grad.abs().sum() > 0 and table.grad.abs().sum() > 0


def test_padding_is_no_word(tmp_path):
    trainer = make_trainer(tmp_path, subsampling_threshold=0.0)
    batch = trainer.make_collator(evaluation=True)([{"ids": np.array([3, 5, 6])}], Place(0))
    output = trainer.compute_objective(trainer.model, batch)
    assert batch["input_ids"].numel() == 64 and output.num_inputs == 3
    cosine_sum, num_pairs = output.metrics["mean_cosine"]
    vectors_LD = torch.nn.functional.normalize(trainer.model.embedding.weight[[3, 5, 6]])
    assert num_pairs == 6 and cosine_sum.item() == pytest.approx(
        (vectors_LD @ vectors_LD.T).sum().item() - 3, abs=1e-5
    )


@pytest.mark.parametrize("objective", ["skip_gram", "glove"])
def test_words_that_stand_near_the_same_words_come_near_one_another(tmp_path, objective):
    rng = np.random.default_rng(0)
    topics = [["river", "water", "boat", "bank"], ["bread", "flour", "oven", "salt"]]
    texts = [" ".join(rng.choice(topics[number % 2], size=12)) + f" {number}" for number in range(400)]
    model = StaticModel(train_word_tokenizer(texts), num_features=8)
    settings = {"max_steps": 150, "learning_rate": 3e-2, "subsampling_threshold": 0.0, "objective": objective}
    settings |= {"per_device_train_batch_size": 16, "eval_strategy": "no", "save_strategy": "no"}
    trainer = make_trainer(tmp_path, tiny_stream(texts, num_shards=4), model=model, **settings)
    trainer.train()
    trainer.save_model()
    encoder = load_encoder(tmp_path)  # what is published is the table alone
    words = [word for topic in topics for word in topic]
    vectors_ND = torch.nn.functional.normalize(encoder.embed(encoder.collate(words)))
    cosines_NN = (vectors_ND @ vectors_ND.T).detach()
    assert cosines_NN[:4, :4].mean() > cosines_NN[:4, 4:].mean() + 0.2
    assert {path.name for path in tmp_path.iterdir() if "auxiliary" in path.name} == set()


def test_a_resumed_run_draws_by_the_counts_of_its_checkpoint(tmp_path):
    first = make_trainer(tmp_path, callbacks=[At(3, stop)])
    first.train()
    counts = first.auxiliary["word_counts"].counts.clone()
    # other texts with the words of the first, and as many: the beginning of the data has changed
    second = make_trainer(tmp_path, tiny_stream(tiny_texts(400, seed=7), num_shards=3))
    assert not torch.equal(second.auxiliary["word_counts"].counts, counts)
    second.train(resume_from_checkpoint="auto")
    assert torch.equal(second.auxiliary["word_counts"].counts, counts)
    assert np.array_equal(second.make_collator(evaluation=True).counts_V, counts.numpy())


def test_what_is_held_out_is_not_counted(tmp_path):
    trainer = make_trainer(tmp_path, validation_fraction=0.5, num_counted_examples=10_000)
    tokens = trainer.model.tokens
    num_words = sum(map(len, tokens.ids_of(TEXTS)))
    assert 0.3 * num_words < int(trainer.auxiliary["word_counts"].counts.sum()) < 0.7 * num_words


def test_map_style_data_is_counted_too(tmp_path):
    trainer = make_trainer(tmp_path, Dataset.from_dict({"text": TEXTS}))
    assert trainer.auxiliary["word_counts"].counts.sum() > 1000


def test_a_transformer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a BertForMaskedLM; word vectors are a table: a StaticModel"):
        make_trainer(tmp_path, model=tiny_bert())
