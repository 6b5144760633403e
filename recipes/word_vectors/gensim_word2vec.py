"""Word vectors by gensim's Word2Vec, of the same words, as a checkpoint that the others can be held against.

python recipes/word_vectors/gensim_word2vec.py --files 'imdb/unlabeled-*.jsonl' --output_dir OUT
"""

import glob
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import exit_cleanly
from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.modalities.text.words import train_word_tokenizer


@dataclass
class GensimSettings:
    """What gensim reads, and for how long."""

    files: str = field(metadata={"help": "A pattern of files of JSON lines with `text`."})
    output_dir: str = field(metadata={"help": "Where the checkpoint goes."})
    epochs: int = field(default=1, metadata={"help": "Passes over the data."})
    num_features: int = field(default=256, metadata={"help": "Features of a word."})
    seed: int = field(default=1, metadata={"help": "Of the vectors' beginning and all that is drawn."})


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments(GensimSettings, argv=argv)
    with exit_cleanly():
        try:
            from gensim.models import Word2Vec
        except ImportError as error:
            raise SystemExit("gensim is not installed: pip install gensim") from error
        lines = (line for path in sorted(glob.glob(settings.files)) for line in Path(path).read_bytes().splitlines())
        texts = [json.loads(line)["text"] for line in lines]
        tokenizer = train_word_tokenizer(texts, 30_000)
        known = [[word for word in tokenizer.tokenize(text) if word != tokenizer.unk_token] for text in texts]
        started, common = time.process_time(), {"vector_size": settings.num_features, "epochs": settings.epochs}
        model = Word2Vec(
            known, sg=1, negative=5, window=5, sample=1e-3, min_count=2, workers=1, seed=settings.seed, **common
        )
        print(f"{time.process_time() - started:.1f} CPU seconds of training")
        weights_VD = np.zeros((len(tokenizer), settings.num_features), dtype=np.float32)  # unknown words say nothing
        for word, index in tokenizer.get_vocab().items():
            if word in model.wv:
                weights_VD[index] = model.wv[word]
        StaticModel(tokenizer, torch.from_numpy(weights_VD)).save_pretrained(settings.output_dir)


if __name__ == "__main__":
    main()
