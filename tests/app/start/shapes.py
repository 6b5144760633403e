"""Folders and files as people have them, tiny."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from datasets import Dataset
from PIL import Image

NUM = 48  # a little more than the least that is pretrained on
WORDS = ("river", "stream", "ocean", "mountain", "valley", "forest", "cloud", "meadow", "island", "desert", "canyon")


def text(number: int) -> str:
    rng = np.random.default_rng(number)
    return " ".join([*rng.choice(WORDS, 12), f"number {number}."])


def rows() -> list[dict]:
    return [{"id": n, "review": text(n), "stars": 1 + 4 * (n % 2)} for n in range(NUM)]


def image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels_HWC = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels_HWC).save(path)


def clip(path: Path, number: int, seconds: float = 0.25) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, int(8000 * seconds)), 8000)


def csv_of_reviews(folder: Path) -> Path:
    pd.DataFrame(rows()).to_csv(path := folder / "reviews.csv", index=False)
    return path


def csv_of_semicolons(folder: Path) -> Path:
    pd.DataFrame(rows()).to_csv(path := folder / "reviews.csv", index=False, sep=";", encoding="cp1252")
    path.write_bytes(path.read_bytes().replace(b"river", b"rivi\xe8re"))
    return path


def csv_without_header(folder: Path) -> Path:
    pd.DataFrame(rows()).to_csv(path := folder / "reviews.csv", index=False, header=False)
    return path


def lines_of_json(folder: Path) -> Path:
    (path := folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def broken_line(folder: Path) -> Path:
    path = lines_of_json(folder)
    path.write_text(path.read_text().replace('"stars": 5}', '"stars": 5', 1))
    return path


def nested_json(folder: Path) -> Path:
    nested = [{"review": {"body": row["review"]}, "stars": row["stars"]} for row in rows()]
    (path := folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in nested))
    return path


def json_array(folder: Path) -> Path:
    (path := folder / "reviews.json").write_text(json.dumps(rows()))
    return path


def json_below_a_key(folder: Path) -> Path:
    (path := folder / "reviews.json").write_text(json.dumps({"version": 1, "data": rows()}))
    return path


def parquet(folder: Path) -> Path:
    pd.DataFrame(rows()).to_parquet(path := folder / "reviews.parquet")
    return path


def saved_to_disk(folder: Path) -> Path:
    Dataset.from_list(rows()).save_to_disk(folder / "saved")
    return folder / "saved"


def parquet_of_images(folder: Path) -> Path:
    cells = []
    for number in range(NUM):
        image(one := folder / "scratch.png", number)
        cells.append({"image_file": {"bytes": one.read_bytes(), "path": None}, "caption": text(number)})
    one.unlink()
    pd.DataFrame(cells).to_parquet(path := folder / "pairs.parquet")
    return path


def compressed_lines(folder: Path) -> Path:
    (path := folder / "texts.txt.gz").write_bytes(gzip.compress("\n".join(map(text, range(NUM))).encode()))
    return path


def folder_of_texts(folder: Path) -> Path:
    for number in range(NUM):
        (folder / f"{number}.txt").write_text(f"{text(number)}\n\n{text(number + NUM)}\n")
    return folder


def folder_of_markdown(folder: Path) -> Path:
    for number in range(NUM):
        (folder / f"{number}.md").write_text(f"# {number}\n\n{text(number)}\n")
    return folder


def train_and_test(folder: Path) -> Path:
    for name, part in (("train", rows()[:NUM]), ("test", rows()[NUM // 2 :]), ("unlabelled", rows())):
        part = [{"text": row["review"] + name, **({} if name[0] == "u" else {"label": row["stars"]})} for row in part]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


def classes_of_images(folder: Path) -> Path:
    for number in range(NUM):
        image(folder / "birds" / ("crow", "wren")[number % 2] / f"{number}.jpg", number)
    return folder / "birds"


def splits_of_images(folder: Path) -> Path:
    for number in range(2 * NUM):
        split, name = ("train", "test")[number // NUM], ("crow", "wren")[number % 2]
        image(folder / "birds" / split / name / f"{number}.png", number)
    return folder / "birds"


def images_with_captions(folder: Path) -> Path:
    for number in range(NUM):
        image(folder / f"{number}.png", number)
    told = [{"file_name": f"{number}.png", "text": text(number)} for number in range(NUM)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    return folder


def loose_captions(folder: Path) -> Path:
    for number in range(NUM):
        image(folder / f"{number}.png", number)
        (folder / f"{number}.txt").write_text(text(number))
    return folder


def recordings_of_speakers(folder: Path) -> Path:
    for number in range(NUM):
        clip(folder / f"clips/{number}.wav", number)
    told = [
        {"file_name": f"clips/{n}.wav", "transcription": text(n), "speaker": ("ann", "bo")[n % 2]} for n in range(NUM)
    ]
    # not a .csv, which datasets reads and leaves open
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    return folder


def recordings_with_texts(folder: Path) -> Path:
    for number in range(NUM):
        clip(folder / f"{number}.wav", number, seconds=5.5 if number % 2 else 0.25)
        (folder / f"{number}.txt").write_text(text(number))
    return folder


def mixed(folder: Path) -> Path:
    for number in range(NUM):
        image(folder / f"{number}.png", number)
    (folder / "notes.txt").write_text("Taken in spring.")
    pd.DataFrame({"file": [f"{n}.png" for n in range(NUM)], "species": "crow"}).to_csv(folder / "list.csv")
    return folder


def empty(folder: Path) -> Path:
    return folder


def documents_of_word(folder: Path) -> Path:
    for number in range(3):
        (folder / f"{number}.docx").write_bytes(b"PK")
    return folder


def zip_of_photos(folder: Path) -> Path:
    (path := folder / "my photos.zip").write_bytes(b"PK")
    return path


def one_image(folder: Path) -> Path:
    image(path := folder / "photo.jpg", 0)
    return path


def empty_file(folder: Path) -> Path:
    (path := folder / "texts.txt").touch()
    return path


def cut_short(folder: Path) -> Path:
    path = compressed_lines(folder)
    path.write_bytes(path.read_bytes()[:100])
    return path


def no_images(folder: Path) -> Path:
    for number in range(NUM):
        (folder / f"{number}.png").write_bytes(b"no image")
    return folder


def names_of_images(folder: Path) -> Path:
    told = [{"file": f"{number}.jpg", "likes": number} for number in range(NUM)]
    pd.DataFrame(told).to_csv(path := folder / "list.csv", index=False)
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere"
