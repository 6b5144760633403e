"""What embedding costs over the bare forward passes, and what a million embeddings cost to measure."""

import multiprocessing
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from hf_unlab.evaluation.embed import embed
from hf_unlab.evaluation.measures.neighbours import knn_predict
from hf_unlab.evaluation.measures.representation import effective_rank
from hf_unlab.evaluation.probes import Scaling, fit_probe
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.encoder import AudioEncoder
from hf_unlab.modalities.audio.models import load_audio_model
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.tiny_clip import train_caption_tokenizer
from hf_unlab.modalities.running import evaluating
from hf_unlab.modalities.text.encoder import TextEncoder
from hf_unlab.modalities.text.models import load_masked_lm, train_tokenizer
from hf_unlab.streams.sources import Source, iterate, open_stream

NUM_ROWS, MILLION, WIDTH, NUM_LABELLED, NUM_QUERIES = 10_000, 1_000_000, 384, 10_000, 1_000


def _rows(builtin: str, column: str, folder: Path) -> Source:
    """The first 10,000 rows of a built-in corpus, over and over if it has fewer, as a file."""
    rows = []
    for row in iterate(open_stream(Source(builtin))):
        rows.append({column: row[column][:1000] if column == "text" else row[column]})
        if len(rows) == NUM_ROWS:
            break
    many = [rows[i % len(rows)] for i in range(NUM_ROWS)]
    Dataset.from_list(many).to_parquet(folder / "rows.parquet")
    return Source(str(folder / "rows.parquet"))


def _text(source: Source) -> TextEncoder:
    texts = [row["text"] for row in iterate(open_stream(source))]
    tokenizer = train_tokenizer(iter(texts), 8192)
    return TextEncoder.of_model(load_masked_lm("tiny", tokenizer), tokenizer)


def _images(source: Source) -> ImageTextEncoder:
    captions = [f"character {number}" for number in range(500)]  # nobody reads them here
    model = load_dual_encoder("tiny", tokenizer=train_caption_tokenizer(captions, vocab_size=300))
    return ImageTextEncoder(lambda: model)


def _recordings(source: Source) -> AudioEncoder:
    return AudioEncoder.of_model(*load_audio_model("tiny"))


KINDS = {
    "texts (docstrings, up to 1,000 characters)": ("text", "builtin:docstrings", _text),
    "images (glyphs)": ("image_text", "builtin:glyphs", _images),
    "recordings (formants)": ("audio", "builtin:formants", _recordings),
}


def over_forward() -> None:
    """`embed` from file to file, beside the forward passes alone over batches that are in memory."""
    print(
        f"\nEmbedding {NUM_ROWS:,} rows with the tiny models, medians of 3 rounds: seconds of the forward passes,\n"
        "of reading, decoding, collating and forward passes one after the other, and of embed; its ratio to either"
    )
    for title, (name, builtin, make) in KINDS.items():
        modality = get_modality(name)
        with tempfile.TemporaryDirectory() as folder:
            source = _rows(builtin, modality.column, Path(folder))
            encoder = make(source)
            decode = modality.make_decode(modality.few_label_settings().unlimited(), encoder)
            raw = iterate(open_stream(source, [modality.column]))
            inputs = [(decode(row) if decode else row)[modality.column] for row in raw]
            batches = []  # of the same parts as embed's
            for start in range(0, len(inputs), 1024):
                pieces = encoder.pieces(inputs[start : start + 1024])
                batches += [batch for _, batch in encoder.batches(pieces.inputs)]
            model, times = encoder.model, []
            for number in range(3):
                begin = time.perf_counter()
                with evaluating(model), torch.inference_mode():
                    for batch in batches:
                        encoder.embed(batch)
                getattr(encoder, "_token_ids", {}).clear()  # each round tokenises anew
                first = time.perf_counter()
                with evaluating(model), torch.inference_mode():
                    for block in iterate_blocks(source, modality.column):
                        decoded = [(decode(row) if decode else row)[modality.column] for row in block]
                        for _, batch in encoder.batches(encoder.pieces(decoded).inputs):
                            encoder.embed(batch)
                getattr(encoder, "_token_ids", {}).clear()
                middle = time.perf_counter()
                embed(encoder, source, Path(folder) / f"{number}.parquet", modality)
                times.append((first - begin, middle - first, time.perf_counter() - middle))
            forward, plain, whole = (sorted(each)[1] for each in zip(*times, strict=True))
            ratios = f"x {whole / forward:.2f}   x {whole / plain:.2f}"
            print(f"  {title:<44}{forward:>7.1f}{plain:>7.1f}{whole:>7.1f}   {ratios}", flush=True)


def iterate_blocks(source: Source, column: str):
    """Raw rows, 1,024 at a time."""
    rows = iterate(open_stream(source, [column]))
    while block := list(islice(rows, 1024)):
        yield block


def _million() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, MILLION)
    features = rng.standard_normal((MILLION, WIDTH), dtype=np.float32)
    features += rng.standard_normal((10, WIDTH), dtype=np.float32)[labels] * 0.3
    return features, labels


def _rank(features: np.ndarray, labels: np.ndarray) -> None:
    effective_rank(features)


def _neighbours(features: np.ndarray, labels: np.ndarray) -> None:
    knn_predict(features, labels, features[:NUM_QUERIES], 20)


def _probe(features: np.ndarray, labels: np.ndarray) -> None:
    probe = fit_probe(features[:NUM_LABELLED], labels[:NUM_LABELLED], Scaling.fitted(features))
    probe.predict(features)


MEASURES = {
    "effective rank (RankMe), all rows, in chunks": _rank,
    f"20 neighbours of {NUM_QUERIES:,} rows among all, exact, in chunks": _neighbours,
    f"linear probe on {NUM_LABELLED:,} labels, asked about all": _probe,
}


def _peak_mib() -> int:
    """The most memory that this process has had: VmHWM; ru_maxrss of a child starts at its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def _measured(name: str, queue: "multiprocessing.Queue[tuple[float, int, int]]") -> None:
    features, labels = _million()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: making them took more than they are
    before, begin = _peak_mib(), time.perf_counter()
    MEASURES[name](features, labels)
    queue.put((time.perf_counter() - begin, before, _peak_mib()))


def million() -> None:
    """Time and peak memory of measures of 1,000,000 x 384 in single precision, each in a process of its own."""
    size = MILLION * WIDTH * 4 / 2**20
    print(f"\nMeasures of {MILLION:,} x {WIDTH} embeddings ({size:,.0f} MiB): seconds, MiB beyond them")
    context = multiprocessing.get_context("spawn")
    for name in MEASURES:
        queue = context.Queue()
        process = context.Process(target=_measured, args=(name, queue))
        process.start()
        seconds, before, after = queue.get()
        process.join()
        print(f"  {name:<64}{seconds:>8.1f}{after - before:>8,}")
