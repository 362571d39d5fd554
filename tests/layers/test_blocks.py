import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from rheobase.errors import RecipeError
from rheobase.layers import BasicBlock, Conv2d, MSBlock, PadShortcut, repeat
from rheobase.neurons import preset


def shapes(block: MSBlock, *size: int) -> torch.Tensor:
    return block(torch.randn(3, 2, *size))


@pytest.mark.parametrize(
    ("channels", "stride", "out"), [(4, 1, (4, 7, 7)), (6, 2, (6, 4, 4)), (4, 2, (4, 4, 4))]
)
def test_shape(channels: int, stride: int, out: tuple[int, ...]) -> None:
    block = MSBlock(4, channels, stride, preset("lif_soft"))
    assert shapes(block, 4, 7, 7).shape == (3, 2, *out)


@pytest.mark.parametrize(("channels", "stride"), [(4, 1), (6, 2)])
def test_starts_as_its_shortcut(channels: int, stride: int) -> None:
    block = MSBlock(4, channels, stride, preset("lif_soft"))
    x = torch.randn(3, 2, 4, 8, 8)
    assert torch.equal(block.eval()(x), block.shortcut(x))


def test_batch_norm_starts_at_the_threshold() -> None:
    block = MSBlock(4, 6, 2, preset("lif_ms"))
    assert bool((block.norm1.weight == 0.5).all()) and bool((block.norm2.weight == 0).all())
    assert bool((block.shortcut[1].weight == 0.5).all())  # type: ignore[index]


def test_convolutions_of_the_branch_see_binary_spikes() -> None:
    block = MSBlock(4, 6, 2, preset("lif_soft"))
    seen: list[torch.Tensor] = []
    for conv in (block.conv1, block.conv2):
        assert isinstance(conv, Conv2d)
        conv.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    block(torch.randn(3, 2, 4, 8, 8) * 2)
    for x in seen:
        assert set(x.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shortcut", ["pad", "conv"])
@pytest.mark.parametrize(
    ("channels", "stride", "out"),
    [(4, 1, (4, 7, 7)), (6, 2, (6, 4, 4)), (4, 2, (4, 4, 4)), (7, 1, (7, 7, 7))],
)
def test_a_basic_block_ends_in_spikes(channels, stride, out, shortcut) -> None:
    block = BasicBlock(4, channels, stride, preset("lif_tet"), shortcut)
    y = block((torch.rand(3, 2, 4, 7, 7) < 0.5).float())
    assert y.shape == (3, 2, *out)
    assert set(y.unique().tolist()) == {0.0, 1.0}


def test_a_basic_block_adds_before_its_last_neuron() -> None:
    """A silent branch leaves the shortcut: m = 1 is not above 1; then m = 0.5 + 1 fires and is reset to 0."""
    block = BasicBlock(2, 2, 1, preset("lif_tet"), "pad").eval()
    torch.nn.init.zeros_(block.norm2.weight)
    y = block(torch.ones(4, 1, 2, 1, 1))
    assert y[:, 0, :, 0, 0].tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]


@given(st.integers(1, 5), st.integers(0, 6), st.integers(1, 3), st.integers(0, 100))
def test_a_padded_shortcut_picks_pixels_and_adds_zeros(channels, more, stride, seed) -> None:
    x = torch.randn(2, 3, channels, 5, 4, generator=torch.Generator().manual_seed(seed))
    front = more // 2
    expected = functional.pad(x[..., ::stride, ::stride], (0, 0, 0, 0, front, more - front))
    shortcut = PadShortcut(channels, channels + more, stride)
    assert torch.equal(shortcut(x), expected)
    assert not list(shortcut.parameters())


def test_a_padded_shortcut_of_a_still_image_and_too_few_channels() -> None:
    assert PadShortcut(2, 3, 2)(repeat(torch.randn(1, 2, 4, 4), 5)).stride(0) == 0
    with pytest.raises(RecipeError, match="4 in, 3 out"):
        PadShortcut(4, 3, 1)
