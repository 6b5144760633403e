"""Names count where they tell somebody apart, and paths where they are of a machine."""

from pathlib import Path

import pytest

from hf_unlab.hub import machine_names
from hf_unlab.hub.machine_names import OwnNames, own_names
from hf_unlab.hub.readable import Document, Piece


def found_in(text, names=("mustermann", "anna", "Max Muster"), kind="text", folders=()):
    document = Document([Piece("", "", text)], kind)
    return [text[found.start : found.end] for found in OwnNames(names, folders).found_in(document)]


@pytest.mark.parametrize(
    "text, found",
    [
        ("by Mustermann, on x", ["Mustermann"]),
        ("mustermann_base mustermannstadt", ["mustermann"]),
        ("Anna sings", []),
        ("runs/anna/x", ["anna"]),
        ("anna", ["anna"]),
        ('{"user": "anna"}', ["anna"]),
        ("Max\n Muster", ["Max\n Muster"]),
        ("mustermann/model and datasets/mustermann/data", ["mustermann"]),
        ("https://huggingface.co/datasets/mustermann/data https://github.com/mustermann", []),
        ("[mustermann](https://huggingface.co/mustermann)", []),
        ("x\nCopyright 2026 Max Muster\nMax Muster", ["Max Muster"]),
        ("author = {Muster, M.}, mustermann", []),
        ("at /home/mm and /home/mm/x", ["/home/mm", "/home/mm/x"]),
        ("/home/user/x /Users/me /home/<name>/x /home/ /tmp", []),
        ("https://host/home/mm ~/tmp/x $HOME/tmp/x ../tmp/x a/mnt/x", []),
        ("/homepage/x /tmpl/x /rooted/x", []),
        ("c:/users/Anna Lena", ["c:/users/Anna"]),
        ("`file://` links", []),
        ("FILE:///data/x", ["FILE:///data"]),
    ],
)
def test_found(text, found):
    assert found_in(text) == found


def test_a_vocabulary_may_hold_names_and_short_paths():
    assert found_in("mustermann /tmp/x /tmp/x/y", kind="vocabulary") == ["/tmp/x/y"]


def test_given_folders():
    folders = [Path("/srv/jobs"), Path("/"), Path("/srv")]
    assert found_in("/srv/jobs/1, /srv/jobs, /srv/jobsite /a/srv/jobs /srv", folders=folders) == ["/srv/jobs"] * 2


def test_names_of_this_machine(monkeypatch):
    class Told:
        stdout = "user.name Max Muster\nuser.email max@muster.de\n"

    monkeypatch.setattr(machine_names.subprocess, "run", lambda *args, **kwargs: Told)
    monkeypatch.setattr(machine_names.getpass, "getuser", lambda: "ubuntu")
    monkeypatch.setattr(machine_names.socket, "gethostname", lambda: "node-12.cluster")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/mustermann"))
    assert own_names() == ["mustermann", "Max Muster", "max@muster.de"]


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_there_may_be_no_user(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(machine_names.getpass, "getuser", fail)
    monkeypatch.setattr(machine_names.subprocess, "run", lambda *args, **kwargs: (_ for _ in ()).throw(OSError))
    assert isinstance(own_names(), list)
