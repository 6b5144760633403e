"""Tiny trainers of vectors of texts."""

import torch
from datasets import Dataset

from hf_unlab.modalities.text.sentence_models import TransformerModel
from hf_unlab.objectives.text_contrastive.arguments import TextContrastiveTrainingArguments
from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainer
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_stream, tiny_texts, tiny_tokenizer
from tests.training.helpers import TINY_RUN

INPUTS = ("input_ids", "offsets", "attention_mask")
TEXTS = tiny_texts(400)
TRIPLET = ("anchor", "positive", "negative")


def transformer(has_head=False, **config):
    torch.manual_seed(0)
    config = {"hidden_dropout_prob": 0.1, **config}
    model = tiny_bert(**config)
    return TransformerModel(model if has_head else model.base_model, tiny_tokenizer(), max_length=16)


def static():
    torch.manual_seed(0)
    return tiny_static_model()


def stream(texts=TEXTS):
    return tiny_stream(texts, num_shards=4)


def triplets(num=400):
    texts = tiny_texts(3 * num, seed=1)
    rows = [dict(zip(TRIPLET, texts[3 * i : 3 * i + 3], strict=True)) for i in range(num)]
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=4)


def make_trainer(folder, data=None, model=None, callbacks=None, columns=("text",), eval_dataset=None, **settings):
    defaults = {**TINY_RUN, "max_steps": 6, "logging_steps": 2, "max_view_tokens": 8, "max_passes": None}
    args = TextContrastiveTrainingArguments(str(folder), **{**defaults, "per_device_eval_batch_size": 8, **settings})
    model, data = model or transformer(), data if data is not None else stream()
    return TextContrastiveTrainer(model, args, data, eval_dataset=eval_dataset, callbacks=callbacks, columns=columns)
