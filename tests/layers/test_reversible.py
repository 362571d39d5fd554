"""The two-stream recursion, its inverses, and gradients by inversion against gradients with everything stored."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rheobase.errors import RecipeError, RheobaseError
from rheobase.layers import BatchNorm2d, Conv2d, HalfResidual, PlainResidual, TwoStreams
from rheobase.layers.reversible import DIGITS, first_state, inverted, pack, to_floats, to_integers, unpack
from rheobase.neurons import LIF

WIDTH, SIZE = 6, 3


def branch(generator_seed):
    """Fires, so that an error of one unit in the last place can change its result by a lot."""
    torch.manual_seed(generator_seed)
    return nn.Sequential(LIF(), Conv2d(WIDTH, WIDTH, 1, bias=False), BatchNorm2d(WIDTH))


def streams(depth=8, recompute=False, step=HalfResidual, dtype=torch.float64):
    return TwoStreams({f"step{i}": step(branch(i)) for i in range(depth)}, recompute=recompute).to(dtype)


def frames(seed=0, dtype=torch.float64, n=4):
    x = torch.randn(
        3, n, WIDTH, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return 2 * x.to(dtype)


def branches(model):
    return [step.branch for step in model.children()]


def gradients(model, x):
    x = x.clone().requires_grad_()
    before, now = model(x)
    weight = torch.linspace(-1, 1, now[0].numel(), dtype=x.dtype).view_as(now[0])
    ((before * weight).sum() + (now * weight.flip(0)).square().sum()).backward()
    found = {name: p.grad for name, p in model.named_parameters()} | {"x": x.grad}
    return {"before": before.detach(), "now": now.detach()} | found


def test_recursion_by_hand():
    """Branches of 1x1 convolutions times 2: X1 = 2 X0 + X0, X2 = 2 X1 + (X1 + X0)/2."""
    double = Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(double.weight, 2.0)
    x = torch.tensor([1.0, -4.0]).view(1, 1, 1, 1, 2)
    reversible = TwoStreams({"a": HalfResidual(double), "b": HalfResidual(double)})
    before, now = reversible(x)
    assert before.flatten().tolist() == [3, -12], "the first step takes X_{-1} = X_0"
    assert now.flatten().tolist() == [8, -32]
    plain = TwoStreams({"a": PlainResidual(double), "b": PlainResidual(double)})
    assert plain(x)[1].flatten().tolist() == [9, -36], "x + F(x), twice"


def test_floating_point_inverse():
    """In evaluation mode and float64 the first state comes back to 1e-8; float32 is looser by what the mantissa lacks."""
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-2)):
        model = streams(dtype=torch.float64).train()
        for _ in range(20):
            model(frames())
        model = model.eval().to(dtype)
        x = frames(1, dtype)
        with torch.no_grad():
            assert (first_state(branches(model), *model(x)) - x).abs().max() < tolerance


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1e-3, 1.0, 60.0]),
)
def test_integers_come_back_exactly(seed, dtype, scale):
    """Every state of 24 steps, whatever the branch computes."""
    generator = torch.Generator().manual_seed(seed)
    values = [
        scale * torch.randn(7, 5, generator=generator, dtype=torch.float64).to(dtype) for _ in range(25)
    ]
    states, bits = [to_integers(values[0], dtype)] * 2, []
    for f in values[1:]:
        before, now = states[-2:]
        bits.append(pack((before ^ now) & 1))
        states.append(to_integers(f, dtype) + (before & now) + ((before ^ now) >> 1))
        mean = torch.div(before.long() + now.long(), 2, rounding_mode="floor")
        assert torch.equal(states[-1].long(), to_integers(f, dtype).long() + mean)
        assert (to_floats(to_integers(f, dtype), dtype) - f).abs().max() <= max(
            2.0 ** -DIGITS[dtype], 4e-6 * scale
        )
    before, now = states[-2:]
    for i, f in reversed(list(enumerate(values[1:]))):
        before, now = 2 * (now - to_integers(f, dtype)) + unpack(bits[i], now) - before, before
        assert torch.equal(before, states[i]) and torch.equal(now, states[i + 1])


@given(st.integers(1, 40), st.integers(0, 1000))
def test_bits_are_packed_and_unpacked(count, seed):
    bits = torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
    assert torch.equal(unpack(pack(bits), bits), bits) and len(pack(bits)) == -(-count // 8)


def test_gradients_by_inversion_equal_stored_ones_in_float64():
    stored, model = streams(), streams(recompute=True)
    wanted, found = gradients(stored, frames()), gradients(model, frames())
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-8, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}"
        )
    for (name, one), two in zip(stored.named_buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(one, two, msg=f"{name}: running statistics move once")
    assert all(norm.momentum == 0.1 for norm in model.modules() if isinstance(norm, BatchNorm2d))


class Rounded(nn.Module):
    """The integer recursion with everything stored: rounding straight-through, sums exact in float64."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        def rounded(y):
            exact = to_integers(y.detach(), torch.float32).double() * 2.0**-20
            return y.double() + (exact - y.detach().double())

        before = now = rounded(x)
        for step in self.model.children():
            half = (before + now) / 2
            down = torch.floor(half.detach() * 2.0**20) * 2.0**-20
            f = step.branch(now.float())
            before, now = now, rounded(f) + half + (down - half.detach())
        return before.float(), now.float()


def test_float32_gradients_are_those_of_the_same_arithmetic_stored():
    """No spike flips between the two passes, at a depth where the floating-point inverse is off by far."""
    model = streams(24, recompute=True, dtype=torch.float32)
    twin = Rounded(copy.deepcopy(model))
    found, wanted = (
        gradients(model, frames(dtype=torch.float32)),
        gradients(twin, frames(dtype=torch.float32)),
    )
    assert torch.equal(found["now"], wanted["now"]) and torch.equal(found["before"], wanted["before"])
    for name, value in found.items():
        if name not in ("x", "before", "now"):
            name = f"model.{name}"
        difference = (value - wanted[name]).norm() / wanted[name].norm()
        assert difference < 1e-4, (name, difference)
    plain = streams(24, dtype=torch.float32).train()
    with torch.no_grad():
        states = plain(frames(dtype=torch.float32))
        lost = (first_state(branches(plain), *states) - frames(dtype=torch.float32)).abs().max()
    assert lost > 1e-2, "what the integers are for"


def kept_bytes(model, x):
    """Bytes that autograd holds between the passes, parameters apart."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held = {}

    def pack_hook(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack_hook, lambda tensor: tensor):
        model(x.clone().requires_grad_())
    return sum(size for size, _ in held.values())


def test_what_is_kept_does_not_grow_but_for_a_bit_a_value_and_step():
    x = frames(dtype=torch.float32)
    stored, model = (
        [kept_bytes(streams(depth, recompute, dtype=torch.float32), x) for depth in (4, 16)]
        for recompute in (False, True)
    )
    assert stored[1] > 3.9 * stored[0]
    assert model[1] - model[0] == 12 * -(-x.numel() // 8)
    assert model[0] == 2 * 4 * x.numel() + 4 * -(-x.numel() // 8), "two states and the bits"


def test_evaluation_and_watched_layers_compute_as_without_recompute():
    x = frames(dtype=torch.float32)
    model, stored = streams(recompute=True, dtype=torch.float32), streams(dtype=torch.float32)
    assert not torch.equal(model(x)[1], stored(x)[1]), "integers round"
    torch.testing.assert_close(model(x)[1], stored(x)[1], rtol=1e-4, atol=1e-4)
    seen = []
    handle = model.step3.branch[0].register_forward_hook(lambda m, args, out: seen.append(out))
    watched = model(x)[1]
    assert seen[0].requires_grad, "spikes that an objective reads carry gradient"
    assert torch.equal(watched, stored(x)[1])
    handle.remove()
    model.load_state_dict(stored.state_dict())
    assert torch.equal(model.eval()(x)[1], stored.eval()(x)[1])


def test_bfloat16_autocast_is_entered_again():
    x = frames(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        now = inverted(branches(streams(dtype=torch.float32)), x.requires_grad_())[1]
    now.sum().backward()  # raises where the second computation differs
    assert torch.isfinite(x.grad).all()


def test_what_cannot_be_inverted_is_found():
    with pytest.raises(RecipeError, match="plain residual steps have no inverse"):
        streams(recompute=True, step=PlainResidual)
    torch.manual_seed(0)
    model = TwoStreams(
        {"a": HalfResidual(nn.Sequential(branch(0), nn.Dropout(0.5)))}, recompute=True
    ).double()
    with pytest.raises(RheobaseError, match="dropout, or kernels that are not deterministic"):
        model(frames().requires_grad_())[1].sum().backward()
    for wrong in (torch.nan, torch.inf, 3000.0):
        x = frames(dtype=torch.float32)
        x[0, 0, 0, 0, 0] = wrong
        assert streams(recompute=True, dtype=torch.float32)(x.requires_grad_())[1].isnan().all(), (
            "the loss shows it"
        )
