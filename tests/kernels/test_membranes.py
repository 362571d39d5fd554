import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scan_cases import MEMBRANES, PLAIN, drive, gradients, needs_compiler

from rheobase.kernels import MEMBRANES as KINDS
from rheobase.kernels import (
    Membrane,
    MembraneBase,
    Rectangular,
    SquatMembrane,
    TanhMembrane,
    Triangular,
    UniformMembrane,
    membrane_trace,
    neuron_scan,
    scan_reference,
)
from rheobase.kernels.reference import rounding

each = pytest.mark.parametrize("membrane", MEMBRANES, ids=repr)
scans = pytest.mark.parametrize("scan", [scan_reference, neuron_scan])


def column(*values):
    return torch.tensor(values)[:, None]


def rounded(membrane, w, smooth=False):
    return rounding(membrane, w, smooth)(w)


def every_step(membrane):
    """Edges and levels, their neighbours in float32, and what lies far out."""
    points = torch.tensor((*membrane.levels(), *membrane.edges(), *torch.linspace(-3, 3, 601)))
    up, down = (points.nextafter(torch.tensor(end)) for end in (math.inf, -math.inf))
    return torch.cat((points, up, down, torch.tensor([1e20, -1e20, 0.0, -0.0])))


@each
def test_levels_and_edges(membrane):
    levels, edges = membrane.levels(), membrane.edges()
    assert len(levels) == 2**membrane.bits - (membrane.name != "squat") and len(edges) == len(levels) - 1
    assert 0.0 in levels and levels[0] < 0 < levels[-1]
    for values in (levels, edges):
        assert all(low < high for low, high in itertools.pairwise(values))
    middles = [0.5 * (low + high) for low, high in itertools.pairwise(levels)]
    assert [math.tanh(e) if membrane.curved else e for e in edges] == pytest.approx(middles)


def test_levels_by_hand():
    assert UniformMembrane(bits=2, limit=0.75).levels() == (-0.75, 0.0, 0.75)
    assert UniformMembrane(bits=2, limit=0.75).edges() == (-0.375, 0.375)
    assert UniformMembrane(bits=4, limit=0.875).levels() == tuple(k / 8 for k in range(-7, 8))
    assert TanhMembrane(bits=2).levels() == (-1.0, 0.0, 1.0)
    assert TanhMembrane(bits=2).edges() == pytest.approx((-0.5493061443, 0.5493061443))  # ln(3) / 2
    # -1 to 2 around 1: two gaps of ratio 1/2 below, -1, 1/3, 1, and one above; 1/3 becomes 0
    assert SquatMembrane(bits=2, multiplier=0.5, upper=1.0).levels() == (-1.0, 0.0, 1.0, 2.0)
    assert SquatMembrane(bits=2, spacing="uniform", upper=0.0).levels() == pytest.approx((-1, 0, 1 / 3, 1))


@pytest.mark.parametrize("bits, factor, below", [(2, 0.1, 2), (4, 0.5, 13), (8, 0.95, 231)])
def test_squat_crowds_around_the_threshold(bits, factor, below):
    """10/11 of the default range 2.2 lies below the threshold; gaps shrink towards it from both sides."""
    for threshold in (1.0, 0.5):
        levels = SquatMembrane(bits=bits, threshold=threshold).levels()
        assert levels[0] == -threshold and levels[-1] == pytest.approx(1.2 * threshold)
        assert levels.index(threshold) == below
        gaps = [high - low for low, high in itertools.pairwise(levels)]
        moved = levels.index(0.0)  # the gaps on both sides of it are no longer geometric
        for i in (*range(1, moved - 1), *range(moved + 2, below)):
            assert gaps[i] / gaps[i - 1] == pytest.approx(factor, rel=1e-6)
        for i in range(below + 1, len(gaps)):
            assert gaps[i - 1] / gaps[i] == pytest.approx(factor, rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(w=st.floats(-4, 4), bits=st.sampled_from([2, 4, 8]), limit=st.floats(0.125, 1.0))
def test_even_stairs_are_the_rounded_curve(w, bits, limit):
    n = 2 ** (bits - 1) - 1
    for membrane, curve in (
        (UniformMembrane(bits=bits, limit=limit), w),
        (TanhMembrane(bits=bits, limit=limit), math.tanh(w)),
    ):
        r = curve * n / limit
        if abs(r % 1 - 0.5) > 1e-9:  # a tie goes up, as the next test says
            expected = limit / n * max(-n, min(n, round(r)))
            found = rounded(membrane, torch.tensor(w, dtype=torch.float64)).item()
            assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    w=st.floats(-4, 4),
    bits=st.sampled_from([2, 4, 8]),
    lower=st.integers(0, 8).map(lambda n: n / 8),
    upper=st.integers(0, 8).map(lambda n: n / 8),
    spacing=st.sampled_from(["exponential", "uniform"]),
)
def test_squat_takes_the_nearest_level(w, bits, lower, upper, spacing):
    membrane = SquatMembrane(bits=bits, lower=lower, upper=upper, spacing=spacing)
    found = rounded(membrane, torch.tensor(w, dtype=torch.float64)).item()
    assert found in membrane.levels()
    assert abs(found - w) <= min(abs(level - w) for level in membrane.levels()) + 1e-12


def test_ties_go_up_and_nan_stays():
    membrane = UniformMembrane(bits=2, limit=0.75)
    w = torch.tensor([-0.375, 0.375, math.inf, -math.inf, math.nan])
    torch.testing.assert_close(
        rounded(membrane, w), torch.tensor([0.0, 0.75, 0.75, -0.75, math.nan]), equal_nan=True, rtol=0, atol=0
    )


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_a_level_gives_the_level(membrane, dtype):
    levels = torch.tensor(membrane.levels(), dtype=torch.float64)
    given = levels.atanh() if membrane.name == "tanh" else levels  # atanh(1) is infinite: the highest
    assert torch.equal(rounded(membrane, given.to(dtype)), levels.to(dtype))


@each
def test_slope_is_that_of_smooth(membrane):
    w = torch.linspace(-2.5, 2.5, 1001, dtype=torch.float64) + 1.7e-4  # off the corners
    step = 1e-6
    slope = (membrane.smooth(w + step) - membrane.smooth(w - step)) / (2 * step)
    torch.testing.assert_close(membrane.slope(w), slope, rtol=1e-5, atol=1e-6)
    assert membrane.slope(w).count_nonzero() >= 300
    stairs = rounded(membrane, w) - membrane.smooth(w)
    gaps = [high - low for low, high in itertools.pairwise(membrane.levels())]
    assert stairs.abs().max() <= 0.5 * max(gaps) + 1e-9


@each
def test_gradient_is_the_slope(membrane):
    w = torch.linspace(-2.5, 2.5, 1001, dtype=torch.float64, requires_grad=True)
    weight = torch.linspace(1, 3, 1001, dtype=torch.float64)
    (grad,) = torch.autograd.grad(rounded(membrane, w), w, weight)
    assert torch.equal(grad, weight * membrane.slope(w.detach()))


def test_slopes_by_hand():
    w = torch.tensor([-1.0, -0.5, 0.0, 0.75, 1.0, 1.1, 1.3, math.inf], dtype=torch.float64)
    assert UniformMembrane(bits=4).slope(w).tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    assert SquatMembrane(bits=4).slope(w).tolist()[1:] == [1, 1, 1, 1, 1, 0, 0]
    curved = TanhMembrane(bits=4).slope(w)
    torch.testing.assert_close(curved, 1 - torch.tanh(w) ** 2)
    assert curved[2] == 1 and curved[-1] == 0
    clipped = TanhMembrane(bits=4, limit=math.tanh(1.05)).slope(w)
    assert clipped.tolist() == [*curved[:5].tolist(), 0, 0, 0]


@each
@scans
@needs_compiler
def test_scan_keeps_exactly_these_levels(scan, membrane):
    """dL/dleak over one step is the stored membrane itself, dL/dx its slope: bit for bit, at and around every edge."""
    w = every_step(membrane)
    count = len(w)
    # far below the threshold; the surrogate times the upstream gradient is 1
    options = PLAIN | {"surrogate": Rectangular(width=2.0**101), "detach_reset": True, "membrane": membrane}
    x = torch.stack((w, torch.zeros(count)))[:, None]
    grad = torch.stack((torch.zeros(count), torch.full((count,), 2.0**101)))[:, None]
    _, gx, gleak, _ = gradients(scan, x, torch.ones(count), torch.full((count,), 1e30), grad, options)
    assert torch.equal(gleak, rounded(membrane, w))
    assert set(gleak.tolist()) == set(torch.tensor(membrane.levels()).tolist())
    torch.testing.assert_close(gx[0, 0], membrane.slope(w), rtol=1e-5, atol=1e-6)
    if membrane.name != "tanh":
        assert torch.equal(gx[0, 0], membrane.slope(w))


@each
@scans
@needs_compiler
def test_nan_is_not_hidden(scan, membrane):
    x = column(math.nan, 1.0, 0.0).requires_grad_()
    leak = torch.tensor(0.5, requires_grad=True)
    spikes = scan(x, leak, 1.0, **PLAIN | {"membrane": membrane})
    assert all(grad.isnan().all() for grad in torch.autograd.grad(spikes.sum(), (x, leak)))


@each
@scans
@needs_compiler
def test_silence_stays_silent(scan, membrane):
    x = torch.zeros(4, 2, 3, requires_grad=True)
    leak = torch.tensor(0.5, requires_grad=True)
    spikes = scan(x, leak, 1.0, **PLAIN | {"membrane": membrane})
    gx, gleak = torch.autograd.grad(spikes.sum(), (x, leak))
    assert spikes.count_nonzero() == 0 and gleak == 0
    assert gx.isfinite().all() and (gx != 0).all()
    _, h = membrane_trace(x, leak, 1.0, **PLAIN | {"membrane": membrane})
    assert h.count_nonzero() == 0


@scans
def test_uniform_by_hand(scan):
    """Levels {-1, 0, 1} * 0.75, leak 1, threshold 1: the sum 1.125 fires, its rounding 0.75 would not."""
    options = PLAIN | {"membrane": UniformMembrane(bits=2, limit=0.75)}
    # h: 0.5 -> v 0.75 | 1.125 fires, 0.125 -> 0 | 0.25 -> 0 | 0.9375 -> 0.75 | 0.75 - 3 -> -0.75 | -0.75
    x = column(0.5, 0.375, 0.25, 0.9375, -3.0, 0.0)
    assert scan(x, 1.0, 1.0, **options).flatten().tolist() == [0, 1, 0, 0, 0, 0]
    _, h = membrane_trace(x, 1.0, 1.0, **options)
    assert h.flatten().tolist() == [0.5, 1.125, 0.25, 0.9375, -2.25, -0.75]


@scans
def test_q_snn_decides_on_the_unrounded_sum(scan):
    """Q-SNN, 2 bit: 0.9 is kept as 1 (tanh 0.9 = 0.72), and 0.5 * 1 + 0.53 > 1 fires.

    Rounded before the decision, 1.03 would be 1 and not fire; without rounding, 0.45 + 0.53 would not either.
    """
    options = {"v_reset": 0.0, "detach_reset": False, "strict": True, "surrogate": Triangular()}
    x = column(0.9, 0.53)
    kept = options | {"membrane": TanhMembrane(bits=2)}
    assert scan(x, 0.5, 1.0, **kept).flatten().tolist() == [0, 1]
    assert scan(x, 0.5, 1.0, **options).flatten().tolist() == [0, 0]
    _, h = membrane_trace(x, 0.5, 1.0, **kept)
    assert rounded(TanhMembrane(bits=2), h).flatten().tolist() == [1, 1]  # neither is > 1


@scans
def test_squat_by_hand(scan):
    """Levels -1, 0, 1, 2 and leak 1/2, soft reset: 1.75 fires and leaves 0.75, kept as 1."""
    options = PLAIN | {"membrane": SquatMembrane(bits=2, multiplier=0.5, upper=1.0)}
    # h: 1.75, v 1 | 0.5 + 0.25, v 1 | 0.5 + 0.5 fires, v 0 | -0.75, v -1 | -0.5 + 0.25, v 0 | 0.75
    x = column(1.75, 0.25, 0.5, -0.75, 0.25, 0.75)
    assert scan(x, 0.5, 1.0, **options).flatten().tolist() == [1, 0, 1, 0, 0, 0]
    _, h = membrane_trace(x, 0.5, 1.0, **options)
    assert h.flatten().tolist() == [1.75, 0.75, 1.0, -0.75, -0.25, 0.75]


@each
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
def test_stored_membranes_are_few(membrane, v_reset):
    """With leak 1 and every second input 0, every second h is what was stored."""
    x = drive(40, 3, 500)
    x[1::2] = 0
    options = PLAIN | {"v_reset": v_reset, "membrane": membrane, "ternary": True}
    _, h = membrane_trace(x, 1.0, 1.0, **options)
    stored = set(h[1::2].unique().tolist())
    assert 2 < len(stored) <= 2**membrane.bits - (membrane.name != "squat")
    assert stored <= set(torch.tensor(membrane.levels()).tolist())


@each
def test_numbers_say_all(membrane):
    again = KINDS[membrane.name].from_numbers(membrane.bits, membrane.numbers)
    assert (again.levels(), again.edges()) == (membrane.levels(), membrane.edges())
    assert (again.window, again.curved) == (membrane.window, membrane.curved)


def test_union_is_discriminated_by_name():
    adapter: TypeAdapter[MembraneBase] = TypeAdapter(Membrane)
    assert adapter.validate_python({"name": "tanh", "bits": 4}) == TanhMembrane(bits=4)
    assert {name: kind(bits=4).name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    for membrane in MEMBRANES:
        assert adapter.validate_json(membrane.model_dump_json()) == membrane


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "uniform", "bits": 3}, "2, 4 or 8"),
        ({"name": "uniform"}, "Field required"),
        ({"name": "uniform", "bits": 4, "limit": 0.0}, "greater than 0"),
        ({"name": "uniform", "bits": 4, "limit": 1e300}, "cannot tell the levels"),
        ({"name": "uniform", "bits": 4, "threshold": 1.0}, "Extra inputs"),
        ({"name": "tanh", "bits": 1}, "2, 4 or 8"),
        ({"name": "tanh", "bits": 4, "limit": -1.0}, "greater than 0"),
        ({"name": "tanh", "bits": 4, "limit": 1.5}, "less than or equal to 1"),
        ({"name": "squat", "bits": 16}, "2, 4 or 8"),
        ({"name": "squat", "bits": 4, "threshold": 0.0}, "greater than 0"),
        ({"name": "squat", "bits": 4, "upper": -0.1}, "greater than or equal to 0"),
        ({"name": "squat", "bits": 4, "multiplier": 0.0}, "greater than 0"),
        ({"name": "squat", "bits": 4, "multiplier": 1.0}, "less than 1"),
        ({"name": "squat", "bits": 8, "multiplier": 0.5}, "multiplier nearer to 1"),
        ({"name": "squat", "bits": 4, "spacing": "uniform", "multiplier": 0.5}, "exponential spacing alone"),
        ({"name": "sqat", "bits": 4}, "'uniform', 'tanh', 'squat'"),
    ],
)
def test_impossible_quantisers_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Membrane).validate_python(options)
