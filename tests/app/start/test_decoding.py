"""A few examples decoded."""

from hf_unlab.app.start.columns import Column
from hf_unlab.app.start.decoding import try_decoding
from hf_unlab.app.start.roles import Roles
from tests.app.start import shapes


def test_bad_ones_are_counted_and_time_is_of_one(tmp_path):
    shapes.image(tmp_path / "a.png", 0)
    good, bad = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}, {"bytes": b"no image", "path": None}
    ticks = iter((1.0, 9.0))
    tried = try_decoding(
        [{"image": cell} for cell in (good, good, bad, good)], Roles("image", image=Column("image", "image")),
        lambda: next(ticks),
    )  # fmt: skip
    assert tried.seconds == 2.0 and tried.num_tried == 4 and tried.bad_share == 0.25


def test_recordings_have_lengths(tmp_path):
    shapes.clip(tmp_path / "a.wav", 0, seconds=0.5)
    cell = {"bytes": None, "path": str(tmp_path / "a.wav")}
    tried = try_decoding([{"sound": cell}], Roles("audio", audio=Column("sound", "audio")), lambda: 0.0)
    assert tried.clip_seconds == 0.5 and not tried.bad
