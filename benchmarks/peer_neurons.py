"""One neuron, LIF with tau = 2 and threshold 1, as each library offers it: `make(reset, detach)(x[T, N, ...])`.

Same surrogate shape where a library has it. SpikingJelly fires at `>=`, snnTorch and Norse at `>`; Norse decays
its input and detaches its reset neither way, so it is the nearest that it has, at half the input.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rheobase.kernels import Sigmoid, neuron_scan, scan_reference

Run = Callable[[Tensor], Tensor]


def rheobase(reset: str, detach: bool, scan: Callable[..., Tensor] = neuron_scan) -> Run:
    v_reset = 0.0 if reset == "hard" else None
    options = {"v_reset": v_reset, "detach_reset": detach, "strict": False, "surrogate": Sigmoid(alpha=4.0)}
    return lambda x: scan(x, 0.5, 1.0, **options)


def plain_torch(reset: str, detach: bool) -> Run:
    return rheobase(reset, detach, scan_reference)


def spikingjelly(reset: str, detach: bool) -> Run:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0,
        decay_input=False,
        v_threshold=1.0,
        v_reset=0.0 if reset == "hard" else None,
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
        detach_reset=detach,
        step_mode="m",
    )

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return run


def snntorch(reset: str, detach: bool) -> Run:
    """Its reset is always detached, so it has nothing to offer where it should not be."""
    import snntorch
    from snntorch import surrogate

    if not detach:
        raise ImportError("its reset is always detached")
    mechanism = "zero" if reset == "hard" else "subtract"
    node = snntorch.Leaky(
        beta=0.5, reset_mechanism=mechanism, spike_grad=surrogate.sigmoid(slope=4), reset_delay=False
    )

    def run(x: Tensor) -> Tensor:
        membrane, spikes = node.init_leaky(), []
        for step in x.unbind(0):
            spike, membrane = node(step, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def norse(reset: str, detach: bool) -> Run:
    """`LIFBoxCell` step by step; its one reset to a value is not detached."""
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.module.lif_box import LIFBoxCell

    if reset != "hard" or detach:
        raise ImportError("its reset is to a value and not detached")
    # v + dt * tau_mem_inv * (x - v) with dt * tau_mem_inv = 1/2
    cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(500.0)), dt=0.001)

    def run(x: Tensor) -> Tensor:
        state, spikes = None, []
        for step in x.unbind(0):
            spike, state = cell(step, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


NEURONS: dict[str, Callable[[str, bool], Run]] = {
    "rheobase": rheobase,
    "plain torch": plain_torch,
    "SpikingJelly": spikingjelly,
    "snnTorch": snntorch,
    "Norse": norse,
}
