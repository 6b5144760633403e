"""examples.py: some of the held-out examples, what they cost, and what lies near."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_unlab.app.report.examples import embed_held_out, lookups_of
from hf_unlab.app.report.run import read_run


def test_all_are_embedded_once(trained_text):
    held_out = embed_held_out(read_run(trained_text))
    texts = held_out.rows["text"].to_pylist()
    assert len(held_out) == len(set(texts)) == len(texts) > 10 and held_out.caption_features is None
    assert held_out.num_held_out >= len(held_out) and held_out.seconds > 0
    again = embed_held_out(read_run(trained_text))
    assert again.rows == held_out.rows and np.array_equal(again.features, held_out.features)


def test_no_more_than_asked_and_no_longer(trained_text):
    run, ticks = read_run(trained_text), itertools.count(step=6.0)
    assert len(embed_held_out(run, most_examples=3)) == 3
    held_out = embed_held_out(run, most_seconds=5.0, clock=lambda: next(ticks))
    assert len(held_out) == 8 and held_out.seconds == 12.0  # a first, small chunk: time was up


def test_the_nearest_first_and_never_itself(trained_text):
    held_out = embed_held_out(read_run(trained_text))
    (lookup,) = lookups_of(held_out, "texts")
    assert lookup.title == "Nearest texts" and len(lookup.rows) == 5
    unit = held_out.features / np.linalg.norm(held_out.features, axis=1, keepdims=True)
    for i, (_, answers) in enumerate(lookup.rows):
        cosines = np.delete(unit @ unit[i], i)
        assert [answer.cosine for answer in answers] == pytest.approx(sorted(cosines, reverse=True)[:3], abs=1e-5)


def test_images_and_captions_find_one_another(trained_pairs):
    held_out = embed_held_out(read_run(trained_pairs))
    images, texts = lookups_of(held_out, "images")
    assert held_out.caption_features.shape == (len(set(held_out.captions)), held_out.features.shape[1])
    assert {cell.kind for cell, _ in images.rows} == {"text"} and {cell.kind for cell, _ in texts.rows} == {"image"}
    for caption, answers in images.rows:
        assert all(answer.cell.kind == "image" for answer in answers)
        own = [answer for answer in answers if answer.is_own]
        assert len(own) <= 1 and caption.text.startswith("a ")


def test_one_example_has_no_neighbours(text_run):
    path = text_run / "_held_out.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    held_out = embed_held_out(read_run(text_run))
    assert len(held_out) == 1 and lookups_of(held_out, "texts") == []


def test_a_mix_of_one_text_and_several_a_row(text_run):
    rows = [{"text": [f"text {i}", "another"]} for i in range(3)] + [{"text": []}, {"text": [""]}]
    pq.write_table(pa.Table.from_pylist(rows), text_run / "_held_out.parquet")
    assert len(embed_held_out(read_run(text_run))) == 3


def test_columns_of_other_names_are_read_by_the_first(text_run):
    pq.write_table(pa.table({"anchor": ["a b", "c d"], "positive": ["e", "f"]}), text_run / "_held_out.parquet")
    held_out = embed_held_out(read_run(text_run))
    assert held_out.column == "anchor" and {held_out.shown(i).text for i in range(2)} == {"a b", "c d"}


def test_nothing_held_out_and_nothing_readable(trained_clips, text_run, tmp_path):
    path = text_run / "_held_out.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert embed_held_out(read_run(text_run)) is None
    path.unlink()
    assert embed_held_out(read_run(text_run)) is None
