"""The C kernels against the reference, and what they count."""

import pytest
import torch
from cases import INF, random_layer
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.errors import RheobaseError
from rheobase.native import compiler
from rheobase.spiketime import Geometry, Reference, RelPsp, StdEd, counted, event_kernels, event_sums

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler")

GEOMETRIES = st.builds(
    lambda c, h, w, kh, kw, sh, sw, ph, pw: Geometry(c, (h, w), (min(kh, h), min(kw, w)), (sh, sw), (ph, pw)),
    *(st.integers(1, n) for n in (3, 7, 6, 3, 3, 3, 2)),
    *(st.integers(0, 2) for _ in range(2)),
)


def both(times, weight, geometry, rule):
    results = []
    for engine in (event_kernels.RelPspKernels(), Reference()):
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        found = engine.forward(rule, times, weight, geometry)
        fired = rule.fire(t, w, geometry, engine=engine)
        upstream = torch.linspace(-1, 2, fired.numel(), dtype=torch.float64).view_as(fired)
        fired.backward(upstream)
        results.append((found, t.grad, w.grad))
    return results


@settings(max_examples=80, deadline=None)
@given(
    GEOMETRIES,
    st.integers(1, 19),
    st.integers(1, 5),
    st.integers(0, 10_000),
    st.sampled_from(["none", "t_max_gradient", "push"]),
)
def test_equal_to_the_reference(geometry, outputs, samples, seed, silent):
    g = torch.Generator().manual_seed(seed)
    times = torch.rand(samples, geometry.inputs, generator=g, dtype=torch.float64) * 4 - 1
    ties = torch.rand(times.shape, generator=g) < 0.4
    times = torch.where(ties, (times * 4).round() / 4, times)
    times[torch.rand(times.shape, generator=g) < 0.3] = INF
    weight = torch.randn(outputs, geometry.fan_in, generator=g, dtype=torch.float64) + 0.2
    a, b = both(times, weight, geometry, RelPsp(t_max=4.0, silent=silent))
    assert torch.equal(a[0].times, b[0].times)
    assert torch.equal(a[0].last, b[0].last)
    for x, y in ((a[0].slope, b[0].slope), a[1:][0:1] + b[1:][0:1], a[2:] + b[2:]):
        assert torch.allclose(x, y, rtol=1e-11, atol=1e-11)


def test_many_inputs_and_threads():
    """Enough inputs for every pass of the sort, enough pairs for threads, neurons that end within a stride."""
    times, weight = random_layer(RelPsp(), n=700, m=61, samples=33)
    weight /= 20
    weight[::3] += 0.5
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        a, b = both(times, weight, Geometry(700), RelPsp())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(a[0].times, b[0].times) and torch.equal(a[0].last, b[0].last)
    assert len(a[0].last.unique()) > 50
    assert torch.allclose(a[1], b[1], rtol=1e-10, atol=1e-12)
    assert torch.allclose(a[2], b[2], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("late", [1e6, 1e300, 2.0, 0.5])
def test_times_that_crowd(late):
    """Hundreds of inputs within a billionth of the span, ties among them; two that are far away, or none."""
    g = torch.Generator().manual_seed(0)
    times = torch.randint(0, 300, (5, 600), generator=g).double() * 1e-3
    times[:, ::7] += 1e-9 * torch.randint(0, 3, (86,), generator=g)
    times[0] = 0.25
    times[1:, [3, 400]] = late
    weight = torch.randn(9, 600, generator=g, dtype=torch.float64) / 20 + 0.01
    a, b = both(times, weight, Geometry(600), RelPsp(t_max=None))
    assert torch.equal(a[0].times, b[0].times) and torch.equal(a[0].last, b[0].last)
    assert a[0].times.isfinite().sum() > 20
    for x, y in zip(a[1:], b[1:], strict=True):
        assert torch.allclose(x, y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 200])
def test_kept_lists_change_nothing(channels):
    """Lists are kept where those of a batch fit the buffer, and the passes that read them give the same bits."""
    g = torch.Generator().manual_seed(0)
    geometry = Geometry(channels, (8, 8), (3, 3), (1, 1), (1, 1))
    times = torch.rand(4, geometry.inputs, generator=g, dtype=torch.float64)
    weight = torch.randn(5, geometry.fan_in, generator=g, dtype=torch.float64) / geometry.fan_in**0.5 + 0.01
    rule, engine = RelPsp(), event_kernels.RelPspKernels()
    found = engine.forward(rule, times, weight, geometry)
    assert (found.lists is not None) == (channels == 1)
    scale = torch.rand(found.times.shape, generator=g, dtype=torch.float64)
    kept, made_anew = (
        (
            engine.to_weights(rule, times, weight, geometry, scale, found.times, found.last, lists),
            engine.to_times(rule, times, weight, geometry, scale, found.times, found.last, lists),
        )
        for lists in (found.lists, None)
    )
    assert all(torch.equal(x, y) and x.any() for x, y in zip(kept, made_anew, strict=True))


@pytest.mark.parametrize("samples", [3, 150])
def test_float_weights(samples):
    """Spikes are those of the same weights in float64; gradients to them are summed in float within chunks of samples."""
    times, weight = random_layer(RelPsp(), n=90, m=21, samples=samples)
    weight /= 5
    single = weight.float()
    a, b = (both(times, w, Geometry(90), RelPsp())[i] for w, i in ((single, 0), (single.double(), 1)))
    assert torch.equal(a[0].times, b[0].times) and torch.equal(a[0].last, b[0].last)
    assert torch.allclose(a[1], b[1], rtol=1e-11, atol=1e-11)
    assert a[2].dtype == torch.float32
    assert (a[2] - b[2]).norm() < 1e-6 * b[2].norm()
    assert b[2].norm() > 0.1


def test_lists_die_with_the_backward_pass():
    times, weight = random_layer(RelPsp())
    fired = RelPsp().fire(times, weight.requires_grad_(), Geometry(6))
    function = fired.grad_fn
    assert function.saved_tensors[-1].dtype == torch.uint8
    fired.where(fired.isfinite(), 0).sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        _ = function.saved_tensors


def test_counts_by_hand():
    """Inputs at 0, 1, 2 and a silent one.

    Neuron 0 (w = 2, ...) fires at .5 after 1 addition; neuron 1 (w = .5, .5, ...) at 1.5 after 2; neuron 2 never, after
    3. Backward visits the causal pairs of those that fire: 1 + 2.
    """
    times = torch.tensor([[0.0, 1.0, INF, 2.0]], requires_grad=True)
    weight = torch.tensor([[2.0, 1, 1, 1], [0.5, 0.5, 1, 1], [-1.0, -1, 1, -1]], requires_grad=True)
    with counted() as work:
        fired = RelPsp().fire(times, weight, Geometry(4))
        fired.backward(torch.ones(1, 1, 3))
    assert fired.tolist() == [[[0.5, 1.5, INF]]]
    assert (work.forward, work.errors, work.updates) == (6, 3, 3)
    assert work.total == 12
    # 3 neurons in one block: 3 arrivals, two gone over twice; 2 causal places
    assert work.lanes == (15, 6, 6)


def test_no_gradient_no_visit():
    times, weight = random_layer(RelPsp())
    weight.requires_grad_()
    with counted() as work:
        fired = RelPsp().fire(times, weight, Geometry(6))
        fired.backward(torch.zeros_like(fired))
    assert work.forward > 0 and work.updates == work.errors == 0


def test_convolution_counts_its_windows():
    """Two spikes in a 3x3 map under a 2x2 kernel that never fires: the corner is seen once, the middle four times."""
    times = torch.full((1, 9), INF)
    times[0, 0], times[0, 4] = 0.0, 0.5
    with counted() as work:
        RelPsp().fire(times, -torch.ones(3, 4), Geometry(1, (3, 3), (2, 2)))
    assert work.forward == (1 + 4) * 3


def test_engine_is_chosen_by_name(monkeypatch):
    times, _ = random_layer(RelPsp())
    monkeypatch.setenv("RHEOBASE_SPIKETIME", "torch")
    assert isinstance(RelPsp().engine(times), Reference)
    monkeypatch.setenv("RHEOBASE_SPIKETIME", "c")
    assert isinstance(RelPsp().engine(times), event_kernels.RelPspKernels)
    monkeypatch.setenv("RHEOBASE_SPIKETIME", "cuda")
    with pytest.raises(RheobaseError, match="unknown engine 'cuda'"):
        RelPsp().engine(times)


def test_without_a_compiler_the_reference_answers(monkeypatch):
    monkeypatch.setattr(event_kernels, "library", lambda: None)
    times, _ = random_layer(RelPsp())
    assert isinstance(RelPsp().engine(times), Reference)


def test_empty_batch():
    weight = torch.ones(3, 4, requires_grad=True)
    fired = RelPsp().fire(torch.zeros(0, 4), weight, Geometry(4))
    assert fired.shape == (0, 1, 3)
    fired.sum().backward()
    assert not weight.grad.any()


@settings(max_examples=40, deadline=None)
@given(GEOMETRIES, st.integers(1, 19), st.integers(1, 4), st.integers(0, 10_000))
def test_sums_equal_the_reference(geometry, outputs, samples, seed):
    """Bit for bit forward; gradients against autograd through prefix sums; all-silent windows included."""
    g = torch.Generator().manual_seed(seed)
    times = torch.rand(samples, geometry.inputs, generator=g, dtype=torch.float64)
    times[torch.rand(times.shape, generator=g) < 0.4] = INF
    times[0] = INF
    weight = torch.randn(outputs, geometry.fan_in, generator=g, dtype=torch.float64)
    sums = [f(times, weight, geometry) for f in (event_kernels.sums, event_sums.reference)]
    assert all(torch.equal(a, b) for a, b in zip(*sums, strict=True))
    grads = []
    for rule in (StdEd(training="times", sums="events"), StdEd(training="times")):
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        fired = rule.fire(t, w, geometry, training=True)
        fired.where(fired.isfinite(), 0).square().sum().backward()
        grads.append((fired.nan_to_num(posinf=9), t.grad, w.grad))
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_counts_of_sums_by_hand():
    """Two of three inputs fire; of three neurons one moves, one fires at the window's start and one is silent."""
    times = torch.tensor([[0.5, INF, 1.0]], requires_grad=True)
    weight = torch.tensor([[0.5, 1, 0.1], [4.0, 1, 1], [-1.0, 1, 0]], requires_grad=True)
    with counted() as work:
        fired = StdEd(training="times", sums="events").fire(times, weight, Geometry(3), training=True)
        fired[fired.isfinite()].sum().backward()
    assert fired.isfinite().tolist() == [[[True, True, False]]] and fired[0, 0, 1] == 0
    assert (work.forward, work.errors, work.updates) == (6, 2, 2)
    assert weight.grad[:, 1].tolist() == [0, 0, 0] and not weight.grad[1:].any()


def test_sums_in_torch_without_a_compiler(monkeypatch):
    times = torch.tensor([[0.5, INF, 1.0], [0.25, 0.0, 0.5]])
    weight, results = torch.tensor([[0.5, 1, 0.1], [0.3, -0.2, 0.4]]), []
    for name in ("c", "torch"):
        monkeypatch.setenv("RHEOBASE_SPIKETIME", name)
        results.append(StdEd(sums="events").fire(times, weight, Geometry(3)))
    assert torch.equal(*results) and results[0].dtype == torch.float32
