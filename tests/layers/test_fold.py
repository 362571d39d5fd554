"""A still image is convolved once, whatever T is, and nothing else changes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rheobase import layers
from rheobase.errors import DataError
from rheobase.models import create_model


@pytest.fixture
def image():
    return torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("vgg_small", num_classes=4, in_channels=2, input_size=(16, 16))


def flops(function, *arguments):
    with FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops()


@pytest.mark.parametrize("T", [2, 5])
def test_a_still_image_is_convolved_once(image, T):
    conv = layers.Conv2d(2, 4, 3, padding=1)
    x = layers.repeat(image, T)
    assert x.shape == (T, *image.shape)
    assert flops(conv, x) == flops(conv, image) > 0
    assert flops(conv, x.contiguous()) == T * flops(conv, image)
    assert torch.equal(conv(x), conv(x.contiguous()))
    assert conv(x).stride(0) == 0, "the layers that follow see a repeated input too"


@pytest.mark.parametrize("training", [False, True])
def test_a_network_gives_the_same_numbers_gradients_and_statistics(image, model, training):
    model.train(training)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for x in (layers.repeat(image, 4), layers.repeat(image, 4).contiguous()):
        model.load_state_dict(start)
        model.zero_grad()
        logits = model(x)
        logits.square().mean().backward()
        found.append([logits, *(p.grad for p in model.parameters()), *model.state_dict().values()])
    for once, often in zip(*found, strict=True):
        torch.testing.assert_close(once, often)


def test_a_step_that_changes_is_not_taken_for_a_repeated_one(image):
    conv = layers.Conv2d(2, 4, 3)
    x = torch.stack([image, image + 1])
    torch.testing.assert_close(conv(x)[1], conv(image + 1))
    batch = image[:1].expand(5, *image.shape[1:])  # one sample five times: a batch, not time
    assert torch.equal(conv(batch[None])[0], conv(batch))


def test_no_steps(image):
    with pytest.raises(DataError, match="T = 0"):
        layers.repeat(image, 0)
