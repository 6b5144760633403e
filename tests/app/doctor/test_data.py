"""Sources are opened and timed; shards and readers that do not go together are told before the run."""

import pytest

from hf_unlab.app.doctor import data, read_settings
from hf_unlab.streams import sharding
from hf_unlab.streams.sources import Source
from tests.app.doctor.helpers import detail_of


def check_source(path, num_readers, batch_size=1, num_examples=4, **source):
    source = Source(path, **source)
    return list(data.check_source(source, num_readers, batch_size, num_examples))


@pytest.mark.parametrize(
    "num_files, num_readers, status, words",
    [
        (4, 4, "ok", "4 shards: 1 for each of 4 readers"),
        (4, 1, "ok", "4 shards: 4 for each of 1 reader"),
        (9, 2, "ok", "9 shards: 4 or 5 for each of 2 readers"),
        (
            1,
            8,
            "warning",
            "each keeping its share. It costs reading, no examples. Avoid it by num_readers: 1 (",
        ),
        (
            6,
            4,
            "warning",
            "6 shards: too few for 4 readers to have their own. A shard will be read by up to 2 of them",
        ),
        (6, 4, "warning", "num_readers: 3 or 6 (in a new run)"),
    ],
)
def test_shards_for_readers(texts, tmp_path, caplog, num_files, num_readers, status, words):
    for number in range(num_files):
        texts(f"{number}.jsonl", 4)
    found = detail_of("shards", check_source("json", num_readers, data_files=f"{tmp_path}/*.jsonl"))
    assert found[0] == status and words in found[1]
    assert not caplog.messages and not sharding.logger.disabled  # said once


def test_parquet_is_counted_before_and_after_it_is_cut():
    status, detail = detail_of("shards", check_source("builtin:docstrings", 8))
    assert status == "ok"
    assert detail.startswith("1 shard, ") and "when cut into row groups" in detail


def test_too_little_data_and_no_known_column(texts):
    findings = check_source(texts("a.jsonl", 3, column="body"), 2, batch_size=4)
    assert detail_of("size", findings) == (
        "warning",
        "it ends after 3 examples; each of 2 readers has to fill a batch of 4 from its part",
    )
    assert detail_of("columns", findings)[0] == "warning"
    assert len(check_source(texts("b.jsonl", 8), 2, batch_size=4)) == 3  # speed, example, shards


@pytest.mark.parametrize(
    "num_readers, num_workers, start",
    [
        (None, 0, "8, the default for 1 process; processes x workers can be 1, 2, 4 or 8"),
        (None, 3, "9, the default for 1 process; with 3 workers each, processes can be 1 or 3"),
        (12, 2, "12; with 2 workers each, processes can be 1, 2, 3 or 6"),
    ],
)
def test_processes_and_workers(num_readers, num_workers, start):
    (finding,) = data.check_readers(num_readers, num_workers)
    assert finding.status == "ok" and finding.detail.startswith(start)


@pytest.mark.parametrize("num_readers, num_workers, mend", [(8, 3, "num_readers=9"), (-1, 0, "num_readers=1")])
def test_readers_that_cannot_be_shared_hide_nothing_else(texts, num_readers, num_workers, mend):
    options = ["--dataset", texts("a.jsonl", 9), "--num_readers", num_readers, "--dataloader_num_workers", num_workers]
    findings = list(data.check_data(read_settings([*map(str, options)]), 4))
    status, detail = detail_of("readers", findings)
    assert status == "problem" and mend in detail
    assert detail_of("source", findings)[0] == "ok"


@pytest.mark.parametrize("negative, status", [((), "ok"), (("--negative_column", "against"), "problem")])
def test_given_pairs_have_columns_of_their_own(tmp_path, negative, status):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"question": "q{i}", "answer": "a{i}"}}\n' for i in range(99)))
    options = ["--anchor_column", "question", "--positive_column", "answer", *negative]
    options += ["--dataset", "json", "--data_files", str(tmp_path / "a.jsonl")]
    findings = list(data.check_data(read_settings(options), 4))
    assert [one for one in findings if one.what.strip() == "columns"] == []
    assert detail_of("source", findings)[0] == status


def test_a_part_of_the_pairs_that_is_not_there(texts):
    findings = list(data.check_source(Source(texts("a.jsonl", 9)), 1, 1, 4, columns=("text", "anchor")))
    assert detail_of("columns", findings) == (
        "warning",
        "none is called anchor, of text, anchor; mend: anchor_column",
    )
