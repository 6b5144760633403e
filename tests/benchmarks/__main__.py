"""`make bench`: fast paths beside their slow twins, in one run on this machine."""

import datasets

from tests.benchmarks import best_rq, embeddings, image_text, masked_lm, scaling, streams, text_contrastive, wav2vec2
from tests.benchmarks.timing import describe_machine

if __name__ == "__main__":
    datasets.disable_progress_bars()
    print(describe_machine())
    of_text = (masked_lm.head, masked_lm.masks, masked_lm.precision, text_contrastive.training)
    of_images = (image_text.throughput, image_text.memory)
    of_embeddings = (embeddings.over_forward, embeddings.million)
    of_audio = (wav2vec2.step, best_rq.step, best_rq.frames)
    of_streams = (streams.overhead, streams.resume, scaling.block, scaling.readers)
    for benchmark in (*of_text, *of_images, *of_audio, *of_streams, *of_embeddings):
        benchmark()
