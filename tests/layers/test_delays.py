"""Delayed copies, and the convolution that is a matrix product."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.errors import DataError, RecipeError
from rheobase.layers import Conv2d, Delays, Dense


@given(
    steps=st.lists(st.integers(0, 12), min_size=1, max_size=4, unique=True),
    T=st.integers(1, 9),
    C=st.integers(1, 3),
)
@settings(max_examples=40)
def test_delays_are_those_of_a_loop(steps: list[int], T: int, C: int) -> None:
    x = torch.randn(T, 2, C, 2, 1)
    y = Delays(steps)(x)
    assert y.shape == (T, 2, len(steps) * C, 2, 1)
    for t in range(T):
        for k, late in enumerate(steps):
            expected = x[t - late] if t >= late else torch.zeros(2, C, 2, 1)
            assert torch.equal(y[t, :, k * C : (k + 1) * C], expected)


def test_a_convolution_over_time() -> None:
    """Delays and a 1x1 convolution are torch's causal convolution."""
    x, dense = torch.randn(20, 2, 3, 1, 1), Dense(9, 4)
    y = dense(Delays((0, 2, 4))(x))
    weight = dense.weight.detach()[..., 0, 0].unflatten(1, (3, 3)).flip(1).transpose(1, 2)  # [4, 3, taps]
    padded = torch.nn.functional.pad(x[..., 0, 0].permute(1, 2, 0), (4, 0))
    expected = torch.nn.functional.conv1d(padded, weight, dilation=2).permute(2, 0, 1)
    torch.testing.assert_close(y[..., 0, 0], expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_dense_is_the_convolution(size: tuple[int, int]) -> None:
    dense = Dense(5, 4, size)
    plain = Conv2d(5, 4, size, bias=False)
    plain.load_state_dict(dense.state_dict())
    x = torch.randn(3, 2, 5, *size)
    torch.testing.assert_close(dense(x), plain(x))
    assert dense(x).shape == (3, 2, 4, 1, 1) and isinstance(dense, torch.nn.Conv2d)


def test_errors_say_what_to_do() -> None:
    for steps in ([], [-1], [2, 2]):
        with pytest.raises(RecipeError, match="different numbers of steps"):
            Delays(steps)
    with pytest.raises(DataError, match=r"\[T, N, C, H, W\]"):
        Delays([1])(torch.zeros(3, 2, 4))
