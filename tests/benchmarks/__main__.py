"""`make bench`: fast paths beside their slow twins, in one run on this machine."""

import datasets

from tests.benchmarks import masked_lm, streams
from tests.benchmarks.timing import describe_machine

if __name__ == "__main__":
    datasets.disable_progress_bars()
    print(describe_machine())
    for benchmark in (masked_lm.head, masked_lm.precision, streams.overhead, streams.resume):
        benchmark()
