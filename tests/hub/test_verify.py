"""verify.py: a model is loaded from the Hub by its card, by a process without hf_unlab, and what is wrong is told.

Each process takes seconds: here the little model of one run; the families, each with a whole publication, in
test_families.py.
"""

import json

import numpy as np
import pytest

from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.loading import loading_of
from hf_unlab.hub.publish import PublishSettings, publish_model
from hf_unlab.hub.verify import compare, run_lines, verify_published


def test_a_publication_is_verified_and_what_changes_behind_it_is_told(hub, checkpoint):
    made = publish_model(checkpoint, "alice/reviews", PublishSettings(CardSettings("mit")))
    found = made.verification
    assert found and found.is_right, found
    assert [check.name for check in found.checks] == [
        *("card", "same files", "loads by its card's lines", "same answers within 1e-06"),
    ]
    files = hub.files("alice/reviews")
    weights = bytearray(files["model.safetensors"])
    weights[-200:] = np.random.default_rng(0).standard_normal(50).astype(np.float32).tobytes()
    card = files["README.md"].decode().replace("license: mit\n", "").encode()
    hub.put_files("alice/reviews", {"model.safetensors": bytes(weights), "README.md": card})
    found = verify_published("alice/reviews", checkpoint)
    wrong = {check.name: check.detail for check in found.checks if not check.is_right}
    assert "no licence" in wrong["card"] and "model.safetensors is not what lies in" in wrong["same files"]
    assert "differ by" in wrong["same answers within 1e-06"] and not found.is_right


@pytest.mark.slow
def test_a_model_that_does_not_load_is_told(hub, checkpoint):
    content = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**content, "num_hidden_layers": 2}))
    with pytest.raises(ValueError, match=r"Nothing is published.*weights are missing from its files"):
        publish_model(checkpoint, "alice/reviews", PublishSettings(CardSettings("mit")))
    assert not hub.requests


def test_what_is_not_there(hub):
    with pytest.raises(ValueError, match="no such repository"):
        verify_published("alice/nothing")


@pytest.mark.slow
def test_a_written_card_that_loads_another_model_is_not_believed(hub, checkpoint):
    other = '```python\nfrom transformers import AutoModel\nmodel = AutoModel.from_pretrained("bob/other")\n```\n'
    (checkpoint / "README.md").write_text(f"---\nlicense: mit\n---\n# Mine\n{other}")
    made = publish_model(checkpoint, "alice/reviews", PublishSettings())
    assert made.verification.is_right and "loads by its library" in [check.name for check in made.verification.checks]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("import no_such_package", "pip install no-such-package"),
        ("import hf_unlab", "hf_unlab"),
        ("raise OSError('hf_" + "a1B2" * 8 + "')", r"hf_\*\*\*"),
    ],
)
def test_lines_that_fail_say_why(lines, said):
    with pytest.raises(ValueError, match=said):
        run_lines(lines)


def test_answers_of_other_shapes_or_names_are_not_the_same():
    one = {"output": np.zeros((2, 3))}
    assert compare(one, {"output": np.zeros((2, 3))}).is_right
    assert not compare(one, {"output": np.zeros((2, 4))}).is_right
    assert not compare(one, {"embeddings": np.zeros((2, 3))}).is_right
    assert not compare(one, {"output": np.full((2, 3), np.nan)}).is_right


@pytest.mark.slow
def test_the_same_lines_give_the_same_answers_twice(checkpoint):
    lines = loading_of(checkpoint).lines
    first, second = run_lines(lines), run_lines(lines)
    assert compare(first, second).is_right
