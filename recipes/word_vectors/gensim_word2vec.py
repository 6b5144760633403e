"""Word vectors by gensim's Word2Vec, of the same words, as a checkpoint that the others can be held against.

python recipes/word_vectors/gensim_word2vec.py 'imdb/unlabeled-*.jsonl' OUT [--epochs 10] [--seed 1]
"""

import argparse
import glob
import json
import time
from pathlib import Path

import numpy as np
import torch
from gensim.models import Word2Vec

from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.modalities.text.words import train_word_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files")
    parser.add_argument("out")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines = (line for path in sorted(glob.glob(given.files)) for line in Path(path).read_bytes().splitlines())
    texts = [json.loads(line)["text"] for line in lines]
    tokenizer = train_word_tokenizer(texts, 30_000)
    unknown = tokenizer.unk_token
    sentences = [[word for word in tokenizer.tokenize(text) if word != unknown] for text in texts]
    started = time.process_time()
    model = Word2Vec(
        sentences, vector_size=256, window=5, min_count=2, sg=1, negative=5, sample=1e-3, workers=1,
        epochs=given.epochs, seed=given.seed,
    )  # fmt: skip
    print(f"{time.process_time() - started:.1f} CPU seconds of gensim, {given.epochs} epochs")
    weights_VD = np.zeros((len(tokenizer), 256), dtype=np.float32)  # unknown words say nothing, as in gensim
    for word, index in tokenizer.get_vocab().items():
        if word in model.wv:
            weights_VD[index] = model.wv[word]
    StaticModel(tokenizer, torch.from_numpy(weights_VD)).save_pretrained(given.out)


if __name__ == "__main__":
    main()
