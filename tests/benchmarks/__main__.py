"""`make bench`: fast paths beside their slow twins, in one run on this machine."""

from tests.benchmarks import masked_lm, streams
from tests.benchmarks.timing import describe_machine

if __name__ == "__main__":
    print(describe_machine())
    for benchmark in (masked_lm.head, masked_lm.precision, streams.overhead, streams.resume):
        benchmark()
