import pytest
import torch

from rheobase.layers import Conv2d, MSBlock
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
