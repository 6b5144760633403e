"""Recipes and settings for data."""

from collections import Counter

import pytest

from hf_unlab.app.start.columns import Column
from hf_unlab.app.start.decoding import Tried
from hf_unlab.app.start.planning import make_plan
from hf_unlab.app.start.reading import Sample
from hf_unlab.app.start.roles import Roles
from hf_unlab.streams.sources import Source

TEXT, IMAGE, AUDIO = Column("body", "text", 20.0), Column("image", "image"), Column("audio", "audio")
SPEAKER = Column("speaker", "text", values=Counter("ab"))


NOTHING = Tried()


def plan(roles: Roles, number: int = 5000, tried: Tried = NOTHING, labelled: dict | None = None):
    sample = Sample(Source("parquet", data_files=["a.parquet"]), [], {}, number, True)
    return make_plan(sample, roles, tried, labelled or {}, "out")


@pytest.mark.parametrize(
    "roles, recipes",
    [
        (Roles("text", text=TEXT), ["text_contrastive"]),
        (Roles("image_text", text=TEXT, image=IMAGE), ["image_text"]),
        (Roles("image", image=IMAGE), ["clusters"]),
        (Roles("audio", audio=AUDIO), ["best_rq", "clusters"]),
    ],
)
def test_recipes(roles, recipes):
    assert [stage.recipe for stage in plan(roles).stages] == recipes


def test_much_data_has_the_recipes_own_settings():
    (stage,) = plan(Roles("text", text=TEXT), 50_000).stages
    wanted = {"output_dir": "out", "dataset": "parquet", "data_files": ["a.parquet"], "text_column": "body"}
    assert stage.changes == wanted
    (stage,) = plan(Roles("text", text=TEXT), 500_000).stages
    assert stage.comments["max_steps"] == ["they read about 153,600 examples of 500,000: raise max_steps for more"]


def test_sound_is_normalised_by_speaker_where_these_are_named():
    first, second = plan(Roles("audio", audio=AUDIO, group=SPEAKER)).stages
    assert first.changes["group_column"] == second.changes["group_column"] == "speaker"
    first, second = plan(Roles("audio", audio=AUDIO)).stages
    assert first.changes["normalise"] == second.changes["normalise"] == "clip"
    assert "group_column" not in first.changes and second.changes["group_column"] is None


def test_labels_are_for_the_last_stage():
    first, second = plan(Roles("audio", audio=AUDIO), labelled={"labelled_dataset": "parquet"}).stages
    assert "labelled_dataset" in second.changes and "labelled_dataset" not in first.changes


def test_what_was_tried_has_its_say():
    tried = Tried(0.1, 20, Counter({"truncated": 2}), 25.0)
    made = plan(Roles("audio", audio=AUDIO, group=SPEAKER), tried=tried)
    assert made.stages[0].changes["max_seconds"] == 10.0 and made.stages[0].changes["max_bad_fraction"] == 0.22
    assert any("25 seconds long" in note for note in made.notes) and any("truncated" in note for note in made.notes)
    assert made.seconds > plan(Roles("audio", audio=AUDIO, group=SPEAKER)).seconds


def test_what_else_was_seen_stands_above_the_setting():
    title = Column("title", "text", 4.0, example="On rivers and what they carry")
    (stage,) = plan(Roles("text", text=TEXT, columns=(TEXT, title))).stages
    assert stage.comments["text_column"] == [
        "other columns that were seen:",
        "  title: On rivers and what they carry",
        "or pairs that belong together: anchor_column: title, positive_column: body",
    ]
