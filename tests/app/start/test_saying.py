"""What is said of data, in 80 columns."""

from hf_unlab.app.start.listing import list_files
from hf_unlab.app.start.planning import Plan
from hf_unlab.app.start.reading import read_sample
from hf_unlab.app.start.roles import Corrections, find_roles
from hf_unlab.app.start.saying import planned, seen
from tests.app.start import shapes


def test_what_is_there(data):
    listing = list_files(str(shapes.csv_of_semicolons(data)))
    sample = read_sample(listing)
    lines = list(seen(listing, sample, find_roles(listing, sample, Corrections())))
    assert lines[0] == "  holds     1 CSV file, 48 rows, separated by ';', in cp1252"
    assert lines[1].startswith('  reads     review: "') and all(len(line) <= 80 for line in lines)


def test_what_would_be_done():
    lines = list(planned(Plan((), 130.0, "a recipe", ("This is known.",)), ["And this."]))
    assert lines[1:5] == [
        "  recipe    a recipe.",
        "  time      about 2 minutes on this CPU, as busy as it is now; less on a GPU",
        "  note      This is known.",
        "  note      And this.",
    ]
