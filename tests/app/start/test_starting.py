"""From shapes that people's data has to settings that parse, or to one sentence."""

from pathlib import Path

import pandas as pd
import pytest

from hf_unlab.app.arguments import read_arguments
from hf_unlab.app.start import starting
from hf_unlab.app.start.roles import Corrections
from hf_unlab.app.yaml_values import read_yaml
from hf_unlab.modalities import get_modality
from hf_unlab.streams.sources import open_stream
from tests.app.start import shapes


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Where commands are run, apart from the data; on as many threads as on any machine."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(starting, "threads_here", lambda: 2)


def begin(path: Path, output: str = "start.yaml", **said: str) -> tuple[list[list[str]], dict]:
    commands = starting.start(str(path), Path(output), Corrections(**said), clock=lambda: 0.0)
    return commands, read_yaml(Path(output))


# shape: recipe, settings that must be there, and words that must be said
RUNS = {
    "csv_of_reviews": ("text_contrastive", {"dataset": "csv", "text_column": "review"}, "stars: 2 classes, 1 (24), 5"),
    "csv_of_semicolons": ("text_contrastive", {"data_options": {"encoding": "cp1252", "sep": ";"}}, "in cp1252"),
    "csv_without_header": ("text_contrastive", {"text_column": "column_2"}, "without a line of names"),
    "lines_of_json": ("text_contrastive", {"dataset": "json", "text_column": "review"}, "1 JSON file, 48 rows"),
    "broken_line": ("text_contrastive", {"on_broken": "skip"}, "line 2: Expecting"),
    "json_array": ("text_contrastive", {"text_column": "review"}, "48 rows"),
    "json_below_a_key": ("text_contrastive", {"data_options": {"field": "data"}}, "below 'data'"),
    "saved_to_disk": ("text_contrastive", {"dataset": "arrow", "text_column": "review"}, "1 arrow file, 48 rows"),
    "parquet": ("text_contrastive", {"dataset": "parquet", "text_column": "review"}, "stars: 2 classes"),
    "compressed_lines": ("text_contrastive", {"dataset": "text", "text_column": "text"}, "each line is one text"),
    "folder_of_texts": ("text_contrastive", {"data_options": {"sample_by": "document"}}, "48 text files, 48 texts"),
    "folder_of_markdown": ("text_contrastive", {"dataset": "text"}, "each file is one text"),
    "train_and_test": ("text_contrastive", {"labelled_dataset": "json"}, "test.jsonl not trained on"),
    "classes_of_images": ("clusters", {"modality": "image", "image_column": "image"}, "label: 2 classes, crow (24)"),
    "splits_of_images": ("clusters", {"labelled_test_split": None}, "train is trained on, test tested on"),
    "images_with_captions": ("image_text", {"text_column": "text", "image_column": "image"}, "told of by metadata"),
    "parquet_of_images": ("image_text", {"text_column": "caption", "image_column": "image_file"}, "48 rows"),
    "recordings_of_speakers": ("clusters", {"group_column": "speaker", "normalise": "group"}, "speaker: 2"),
    "recordings_with_texts": (
        "clusters",
        {"normalise": "clip", "balance": "none", "max_seconds": 6.0},
        "No column of",
    ),
    "mixed": ("clusters", {"dataset": "imagefolder"}, "list.csv may tell more"),
}


@pytest.mark.parametrize("shape", RUNS)
def test_a_shape_leads_to_settings_that_can_be_launched(shape, data, capsys):
    recipe, wanted, words = RUNS[shape]
    commands, settings = begin(getattr(shapes, shape)(data))
    said = capsys.readouterr().out
    assert words in " ".join(said.split()) and all(len(line) <= 80 for line in said.splitlines() if "/" not in line)
    assert {name: settings.get(name) for name in wanted} == wanted
    launches = [command for command in commands if command[0] == "accelerate"]
    assert [Path(command[-3]).parent.name for command in launches][-1] == recipe
    for command in launches:
        assert Path(command[-3]).is_file() and (text := Path(command[-1]).read_text())
        assert all(len(line) <= 80 for line in text.splitlines() if line[:2] == "# " and "/" not in line)
    modality = get_modality("image_text" if recipe == "image_text" else settings.get("modality", "text"))
    known = {name: settings[name] for name in vars(modality.data_settings()) if name in settings}
    (source,) = modality.data_settings(**known).sources()
    assert next(iter(open_stream(source, modality.raw_columns)))


REFUSED = {
    "empty": "holds no file",
    "documents_of_word": "pandoc FILE.docx",
    "zip_of_photos": "unzip -d '",
    "one_image": "1 example is too few",
    "empty_file": "is empty",
    "cut_short": "cannot be read",
    "no_images": "none of 24 images",
    "names_of_images": "call it metadata.csv, its column file file_name",
    "nested_json": "lie inside another column (review.body)",
    "loose_captions": "tar --sort=name -cf pairs.tar",
    "missing": "there is no such file or folder",
}


@pytest.mark.parametrize("shape", REFUSED)
def test_what_cannot_be_used_leads_to_one_sentence(shape, data):
    with pytest.raises(ValueError) as caught:
        begin(getattr(shapes, shape)(data))
    assert REFUSED[shape] in str(caught.value) and not list(Path().glob("*.yaml"))


def test_the_sentence_on_nested_columns_holds_a_command_that_mends_it(data, monkeypatch):
    with pytest.raises(ValueError) as caught:
        begin(shapes.nested_json(data))
    exec(str(caught.value).split('python -c "')[1].split('", and then')[0])
    _, settings = begin(Path("flat.jsonl"), text_column="body")
    assert settings["text_column"] == "body"


def test_files_that_are_there_stay_unless_they_may_go(data):
    path = shapes.csv_of_reviews(data)
    Path("start.yaml").write_text("mine")
    with pytest.raises(ValueError, match=r"start\.yaml is there already.*--overwrite"):
        begin_again(path)
    assert Path("start.yaml").read_text() == "mine"
    begin_again(path, overwrite=True)
    assert read_yaml(Path("start.yaml"))["dataset"] == "csv"


def begin_again(path: Path, overwrite: bool = False) -> None:
    starting.start(str(path), Path("start.yaml"), Corrections(), overwrite=overwrite, clock=lambda: 0.0)


def test_guesses_are_corrected(data):
    path = shapes.images_with_captions(data)
    assert begin(path)[1]["text_column"] == "text"
    _, settings = begin(path, "images.yaml", text_column="none")
    assert settings["modality"] == "image" and "text_column" not in settings
    _, settings = begin(path, "again.yaml", modality="image")
    assert settings["modality"] == "image"
    with pytest.raises(ValueError, match="--text_column body: there is no such column; there are: image, text"):
        begin(path, "more.yaml", text_column="body")
    with pytest.raises(ValueError, match="--modality smell: give one of text, image"):
        begin(path, "more.yaml", modality="smell")
    with pytest.raises(ValueError, match=r"call the file more.yaml"):
        begin(path, "more.txt")


def test_labels_that_may_be_tested_on_make_a_table_and_others_are_measured_behind(data, tmp_path):
    commands, settings = begin(shapes.train_and_test(data))
    assert settings["labelled_train_files"] == [f"{data}/train.jsonl"]
    assert settings["labelled_test_files"] == [f"{data}/test.jsonl"]
    assert settings["data_files"] == [f"{data}/train.jsonl", f"{data}/unlabelled.jsonl"]
    assert len(commands) == 1
    (other := tmp_path / "other").mkdir()
    commands, settings = begin(shapes.csv_of_reviews(other), "other.yaml")
    assert commands[-1][:3] == ["hf-unlab", "evaluate", "outputs/other"] and "labelled_dataset" not in settings
    assert commands[-1][commands[-1].index("--label_column") + 1] == "stars"
    commands, _ = begin(other / "reviews.csv", "unlabelled.yaml", label_column="none")
    assert len(commands) == 1


def test_what_is_not_read_as_labels_or_tests_is_said(data, capsys):
    for number in range(shapes.NUM):
        (folder := data / ("neg", "pos")[number % 2]).mkdir(exist_ok=True)
        (folder / f"{number}.txt").write_text(shapes.text(number))
    begin(data)
    assert "The folders (neg, pos) may be classes" in " ".join(capsys.readouterr().out.split())
    pd.DataFrame(shapes.rows()).assign(split=["train", "test"] * 24).to_csv(data.parent / "a.csv", index=False)
    begin(data.parent / "a.csv", "other.yaml")
    assert "The column split keeps no rows apart (train, test)" in " ".join(capsys.readouterr().out.split())


def test_checkpoints_of_another_run_are_left_alone(data):
    path = shapes.csv_of_reviews(data)
    Path("outputs/start").mkdir(parents=True)
    Path("outputs/start_2_best_rq").mkdir()
    assert begin(path)[1]["output_dir"] == "outputs/start_3"


def test_sound_goes_through_two_recipes(data):
    commands, settings = begin(shapes.recordings_of_speakers(data))
    first = read_yaml(Path("start_first.yaml"))
    assert [Path(command[-3]).parent.name for command in commands] == ["best_rq", "clusters"]
    assert settings["model"] == first["output_dir"] != settings["output_dir"]


def test_what_is_written_is_read_by_the_recipes_own_parser(data):
    from hf_unlab.objectives import load_objective

    begin(shapes.csv_of_reviews(data))
    objective = load_objective("text_contrastive")
    read = read_arguments(*objective.settings, objective.arguments, argv=["--config", "start.yaml"])
    assert read[0].text_column == "review" and read[-1].max_passes == 6
