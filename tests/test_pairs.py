import pytest

from rheobase.pairs import gain, mean_spread


def test_a_single_value_has_no_spread():
    assert mean_spread([0.5]) == (0.5, 0.0)


def test_what_pairs_share_cancels():
    found = gain([1.0, 5.0, 9.0], [2.0, 5.0, 12.0])
    assert found.mean == pytest.approx(4 / 3)
    assert found.spread == pytest.approx(1.5275252)  # of 1, 0, 3, with n - 1
    assert (found.positive, found.pairs) == (2, 3)


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="no pairs"):
        gain([], [])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        gain([1.0], [])
