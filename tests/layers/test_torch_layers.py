import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from rheobase import layers
from rheobase.errors import DataError

MAPS = [
    (layers.Conv2d(3, 5, 3, stride=2, padding=1), nn.Conv2d),
    (layers.AvgPool2d(2), nn.AvgPool2d),
    (layers.MaxPool2d(3, stride=2), nn.MaxPool2d),
    (layers.GlobalAvgPool2d(), nn.AdaptiveAvgPool2d),
    (layers.Flatten(), nn.Flatten),
    (layers.BatchNorm2d(3).eval(), nn.BatchNorm2d),
]


@pytest.mark.parametrize(("layer", "parent"), MAPS, ids=lambda v: type(v).__name__)
def test_any_leading_axes(layer: nn.Module, parent: type[nn.Module]) -> None:
    assert isinstance(layer, parent)
    x = torch.rand(2, 4, 6, 3, 9, 7)
    y = layer(x)
    for i in range(2):
        assert torch.equal(layer(x[i]), y[i])
        for t in range(4):
            torch.testing.assert_close(parent.forward(layer, x[i, t]), y[i, t])
            torch.testing.assert_close(layer(x[i, t, 0]), y[i, t, 0])
    assert layer(x[:, :, :0]).shape[:3] == (2, 4, 0)


@pytest.mark.parametrize(("layer", "parent"), MAPS, ids=lambda v: type(v).__name__)
def test_too_few_axes(layer: nn.Module, parent: type[nn.Module]) -> None:
    with pytest.raises(DataError, match=r"expected \[..., C, H, W\], got a tensor of shape \[9, 7\]"):
        layer(torch.rand(9, 7))


def test_state_dict_names_are_torchs() -> None:
    for ours, theirs in [
        (layers.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)),
        (layers.BatchNorm2d(3), nn.BatchNorm2d(3)),
        (layers.Linear(4, 5), nn.Linear(4, 5)),
    ]:
        ours.load_state_dict(theirs.state_dict(), strict=True)


def test_batch_norm_merges_time_and_batch() -> None:
    x = torch.randn(4, 8, 3, 5, 5) * 3 + torch.arange(4.0).reshape(4, 1, 1, 1, 1)
    norm = layers.BatchNorm2d(3)
    mean, var = x.mean((0, 1, 3, 4)), x.var((0, 1, 3, 4), unbiased=False)
    expected = (x - mean.reshape(3, 1, 1)) / (var.reshape(3, 1, 1) + norm.eps).sqrt()
    torch.testing.assert_close(norm(x), expected)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    assert norm.num_batches_tracked == 1


def test_flatten_and_global_pool_shapes() -> None:
    x = torch.rand(4, 2, 3, 5, 6)
    assert torch.equal(layers.Flatten()(x), x.flatten(2))
    pooled = layers.GlobalAvgPool2d()(x)
    assert pooled.shape == (4, 2, 3, 1, 1)
    torch.testing.assert_close(pooled[..., 0, 0], x.mean((-1, -2)))


@pytest.mark.parametrize(
    "layer", [layers.Conv2d(8, 8, 3, padding=1), layers.BatchNorm2d(8), layers.AvgPool2d(2)]
)
def test_channels_last_stays(layer: nn.Module) -> None:
    layer = layer.to(memory_format=torch.channels_last)
    x = torch.rand(6, 8, 8, 8).to(memory_format=torch.channels_last).unflatten(0, (3, 2))
    y = layer(x)
    assert y.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_parametrised_layer_still_folds() -> None:
    class Twice(nn.Module):
        def forward(self, w: torch.Tensor) -> torch.Tensor:
            return 2 * w

    conv = layers.Conv2d(2, 3, 1, bias=False)
    x = torch.rand(4, 2, 2, 5, 5)
    before = conv(x)
    parametrize.register_parametrization(conv, "weight", Twice())
    torch.testing.assert_close(conv(x), 2 * before)
