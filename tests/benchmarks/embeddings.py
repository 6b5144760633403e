"""What measures of a million embeddings cost: seconds, and memory above that of the embeddings themselves."""

import functools
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hf_unlab.evaluation.measures.clustering import cluster_agreement
from hf_unlab.evaluation.measures.neighbours import nearest
from hf_unlab.evaluation.measures.representation import alpha_req, effective_rank
from hf_unlab.evaluation.probes import linear_probe

NUM_ROWS, SIZE, NUM_CLASSES = 1_000_000, 384, 100
NUM_QUERIES, NUM_NEIGHBOURS, NUM_LABELLED = 1_000, 20, 10_000


def _made():
    """Clusters around random centres, float32, made in parts: nothing larger than the result is held."""
    rng = np.random.default_rng(0)
    centres_CD = rng.normal(size=(NUM_CLASSES, SIZE)).astype(np.float32)
    labels_N = rng.integers(0, NUM_CLASSES, NUM_ROWS)
    rows_ND = np.empty((NUM_ROWS, SIZE), dtype=np.float32)
    for part in np.array_split(np.arange(NUM_ROWS), NUM_ROWS // 10_000):
        rows_ND[part] = centres_CD[labels_N[part]] + 3 * rng.standard_normal((len(part), SIZE), dtype=np.float32)
    return rows_ND, labels_N


def _rank(rows_ND, labels_N):
    return f"{effective_rank(rows_ND):.1f} of {SIZE}"


def _alpha(rows_ND, labels_N):
    return f"{alpha_req(rows_ND):.3f}"


def _neighbours(rows_ND, labels_N):
    _, indices_QK = nearest(rows_ND[:NUM_QUERIES], rows_ND, NUM_NEIGHBOURS)
    return f"{(labels_N[indices_QK] == labels_N[:NUM_QUERIES, None]).mean():.3f} of their class"


def _clusters(rows_ND, labels_N):
    return f"{cluster_agreement(rows_ND, labels_N)['nmi']:.3f} NMI"


def _probe(rows_ND, labels_N):
    answers_N = linear_probe("clusters", rows_ND, labels_N, rows_ND)(np.arange(NUM_LABELLED))
    return f"{(answers_N == labels_N)[NUM_LABELLED:].mean():.3f} accuracy"


MEASURES = {
    "effective rank": _rank,
    "alpha-ReQ": _alpha,
    f"{NUM_NEIGHBOURS} neighbours of {NUM_QUERIES:,}": _neighbours,
    f"{NUM_CLASSES} clusters": _clusters,
    f"probe of {NUM_LABELLED:,}, answers for all": _probe,
}


def million():
    """Each in a process of its own, so that the peak is its own."""
    print(f"\n{NUM_ROWS:,} x {SIZE} float32 embeddings, {NUM_ROWS * SIZE * 4 / 2**20:,.0f} MiB")
    for name in MEASURES:
        command = [sys.executable, "-m", "tests.benchmarks.embeddings", name]
        seconds, held, peak, found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(
            "\t"
        )
        extra = float(peak) - float(held)
        print(
            f"  {name:<44}{float(seconds):>12.1f} s   peak {float(peak):,.0f} MiB, {extra:,.0f} more: {found.strip()}"
        )


def _of_process(what):
    """MiB that /proc says of this process, such as its high water mark VmHWM; Linux alone has it."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def _measure(name):
    rows_ND, labels_N = _made()
    warm = functools.partial(np.random.default_rng(1).normal, size=(1000, SIZE))
    effective_rank(warm())  # what libraries load at their first call
    held = _of_process("VmRSS")
    start = time.perf_counter()
    found = MEASURES[name](rows_ND, labels_N)
    print(time.perf_counter() - start, held, _of_process("VmHWM"), found, sep="\t")


if __name__ == "__main__":
    _measure(sys.argv[1])
