import pytest

from hf_unlab.testing.loopback_failures import Failure


def test_any_method_and_path_unless_one_is_named():
    assert Failure().matches("GET", "/anything")
    assert not Failure(method="PUT").matches("GET", "/anything")
    assert Failure(path_pattern="^/api/.*/tag/").matches("POST", "/api/models/alice/model/tag/main")
    assert not Failure(path_pattern="^/api/.*/tag/").matches("POST", "/lfs/api/tag/")


@pytest.mark.parametrize("setting", [{"status": 200}, {"times": 0}])
def test_senseless_numbers_are_refused(setting):
    with pytest.raises(ValueError):
        Failure(**setting)
