"""What a recipe measures while it trains: the labels that draws are made from, or what is held out."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForMaskedLM

from hf_unlab.few_labels.online import online_evaluation
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_clips, tiny_dual_encoder, tiny_pairs, tiny_wav2vec2
from hf_unlab.training.arguments import PretrainingArguments
from tests.modalities.text.test_encoder import BERT, word_tokenizer


def arguments(folder, *names, **settings) -> PretrainingArguments:
    given = {"eval_strategy": "steps", "eval_steps": 5} if names else {}
    return PretrainingArguments(str(folder), online_measures=list(names), use_cpu=True, **given, **settings)


def labelled(folder, num_rows: int, **settings) -> TextFewLabelSettings:
    rows = [{"text": f"w{i % 2} w{2 + i % 30} w{i % 7}", "label": ["no", "yes"][i % 2]} for i in range(num_rows)]
    Dataset.from_list(rows).to_parquet(folder / "train.parquet")
    Dataset.from_list([{"text": "never read", "label": "other"}]).to_parquet(folder / "test.parquet")
    files = {f"labelled_{name}_files": [str(folder / f"{name}.parquet")] for name in ("train", "test")}
    return TextFewLabelSettings(labelled_dataset="parquet", **files, **settings)


def bert():
    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(BERT)


def test_labels_are_those_that_draws_are_made_from(tmp_path) -> None:
    args = arguments(tmp_path, "probe_accuracy", "effective_rank", online_max_examples=60)
    text, model = get_modality("text"), bert()
    online = online_evaluation(args, labelled(tmp_path, 100), [Source("x")], text, model, word_tokenizer())
    assert len(online.inputs) == 60 and set(online.labels.tolist()) == {0, 1} and online.max_examples == 60
    found = online(model, list)
    assert found["probe_accuracy"] > 0.8 and found["effective_rank"] > 1


def test_without_labels_what_is_held_out_is_measured(tmp_path) -> None:
    args = arguments(tmp_path, "effective_rank", online_max_examples=20)
    text, model = get_modality("text"), bert()
    online = online_evaluation(args, TextFewLabelSettings(), [Source("x")], text, model, word_tokenizer())
    held_out = [{"text": f"w{i} w{i + 1}"} for i in range(30)]
    assert online.inputs is None and online(model, lambda: held_out)["effective_rank"] > 1
    with pytest.raises(ValueError, match="There are 2 examples to measure on"):
        online(model, lambda: held_out[:2])
    with pytest.raises(ValueError, match="probe_accuracy needs labels"):
        online_evaluation(
            arguments(tmp_path, "probe_accuracy"), TextFewLabelSettings(), [Source("x")], text, model, word_tokenizer()
        )
    assert online_evaluation(arguments(tmp_path), TextFewLabelSettings(), [], text, model, word_tokenizer()) is None


def test_images_and_recordings_are_decoded(tmp_path) -> None:
    torch.manual_seed(0)
    args = arguments(tmp_path, "mean_cosine")
    model, extractor = tiny_wav2vec2()
    for name, settings, one, processor, rows in (
        ("image_text", ImageFewLabelSettings(), tiny_dual_encoder(), None, list(tiny_pairs(8))),
        ("audio", AudioFewLabelSettings(), model, extractor, list(tiny_clips(8))),
    ):
        online = online_evaluation(args, settings, [Source("x")], get_modality(name), one, processor)
        assert -1 <= online(one, lambda rows=rows: rows)["mean_cosine"] <= 1
        assert np.isfinite(online(one, lambda rows=rows: rows)["mean_cosine"])
