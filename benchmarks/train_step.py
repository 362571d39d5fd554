"""How fast a network trains: one step of VGG-9 as rheobase does it by default, and as users of the peers write it.

    python benchmarks/train_step.py [--shape 4,16,2,48,48] [--width 1.0] [--rounds 3] [--out F.csv] [--check]

A step is forward, cross-entropy of the logits' mean over time, backward, SGD with momentum. rheobase's default is
what `fit` chooses on this machine: precision and memory layout, the fused neuron. SpikingJelly: its multi-step
layers; snnTorch and Norse: the network called once a timestep, as in their tutorials. The bound is the FLOP of
convolutions and linear layers, counted by torch, at the rate of a large matrix product measured in the same rounds.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack

import bench
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import rheobase as rb
from rheobase.kernels.scan import VARIABLE
from rheobase.models.vgg import VGG9
from rheobase.training.arithmetic import layout, settle

CLASSES, PRODUCT = 10, "product"
LAYOUTS = ExitStack()  # left when the program ends
Forward = Callable[[Tensor], Tensor]


def stack(x: Tensor, width: float, parts: dict[str, Callable[..., nn.Module]]) -> list[nn.Module]:
    """VGG-9 of a library's parts, in order."""
    modules: list[nn.Module] = []
    before, side = x.shape[2], x.shape[-1]
    for token in VGG9.split("-"):
        if token != "AP2":
            out = max(1, round(width * int(token.removesuffix("C3"))))
            conv = parts["conv"](before, out, 3, padding=1, bias=False)
            modules += [conv, parts["norm"](out), parts["neuron"]()]
            before = out
        else:
            modules.append(parts["pool"](2))
            side //= 2
    return [*modules, parts["flatten"](), parts["linear"](before * side * side, CLASSES)]


TORCH = {
    "conv": nn.Conv2d,
    "norm": nn.BatchNorm2d,
    "pool": nn.AvgPool2d,
    "flatten": nn.Flatten,
    "linear": nn.Linear,
}


def rheobase(x: Tensor, width: float) -> tuple[nn.Module, Forward]:
    model = rb.create_model(
        "vgg9", num_classes=CLASSES, in_channels=x.shape[2], input_size=tuple(x.shape[-2:]), width=width
    )
    return model, model


def spikingjelly(x: Tensor, width: float) -> tuple[nn.Module, Forward]:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    parts = {
        "conv": layer.Conv2d,
        "norm": layer.BatchNorm2d,
        "pool": layer.AvgPool2d,
        "flatten": layer.Flatten,
        "linear": layer.Linear,
        "neuron": lambda: neuron.LIFNode(
            decay_input=False,
            v_reset=None,
            surrogate_function=surrogate.Sigmoid(alpha=4.0),
            detach_reset=True,
        ),
    }
    model = nn.Sequential(*stack(x, width, parts))
    functional.set_step_mode(model, "m")

    def forward(x: Tensor) -> Tensor:
        functional.reset_net(model)
        return model(x)

    return model, forward


def snntorch(x: Tensor, width: float) -> tuple[nn.Module, Forward]:
    import snntorch
    from snntorch import surrogate, utils

    def neuron() -> nn.Module:
        return snntorch.Leaky(beta=0.5, spike_grad=surrogate.sigmoid(slope=4), init_hidden=True)

    model = nn.Sequential(*stack(x, width, {**TORCH, "neuron": neuron}))

    def forward(x: Tensor) -> Tensor:
        utils.reset(model)
        return torch.stack([model(step) for step in x.unbind(0)])

    return model, forward


def norse(x: Tensor, width: float) -> tuple[nn.Module, Forward]:
    from norse.torch import SequentialState
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.module.lif_box import LIFBoxCell

    half = LIFBoxParameters(tau_mem_inv=torch.tensor(500.0))  # 1/2 at dt = 0.001
    model = SequentialState(*stack(x, width, {**TORCH, "neuron": lambda: LIFBoxCell(half)}))

    def forward(x: Tensor) -> Tensor:
        state, logits = None, []
        for step in x.unbind(0):
            y, state = model(step, state)
            logits.append(y)
        return torch.stack(logits)

    return model, forward


def step(
    make: Callable[[Tensor, float], tuple[nn.Module, Forward]],
    x: Tensor,
    target: Tensor,
    width: float,
    scan: str = "fused",
) -> Callable[[], None]:
    """One training step; with `scan` fused, rheobase's model gets what `fit` gives it on this machine."""
    torch.manual_seed(0)
    model, forward = make(x, width)
    settings = settle(rb.TrainConfig())
    default = make is rheobase and scan == "fused"
    LAYOUTS.enter_context(layout(model, default and bool(settings.channels_last)))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def run() -> None:
        os.environ[VARIABLE] = scan
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=default and settings.precision == "bf16"):
            loss = F.cross_entropy(forward(x).float().mean(0), target)
        loss.backward()
        optimiser.step()

    return run


def main() -> None:
    parser = bench.parser(
        "One training step of VGG-9 against peers and the bound of its convolutions.", rounds=3
    )
    parser.add_argument("--shape", default="4,16,2,48,48", help="T,N,C,H,W of the input")
    parser.add_argument("--width", type=float, default=1.0, help="factor on all channels")
    options = parser.parse_args()
    shape = tuple(int(part) for part in options.shape.split(","))
    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(torch.full(shape, 0.3), generator)
    target = torch.randint(CLASSES, shape[1:2], generator=generator)
    width = options.width
    runs = bench.peers(
        {
            "rheobase": lambda: step(rheobase, x, target, width),
            "plain torch": lambda: step(rheobase, x, target, width, "reference"),
            "SpikingJelly": lambda: step(spikingjelly, x, target, width),
            "snnTorch": lambda: step(snntorch, x, target, width),
            "Norse": lambda: step(norse, x, target, width),
        }
    )
    with FlopCounterMode(display=False) as counter:
        runs["plain torch"]()
    flop, (product, of_product) = counter.get_total_flops(), bench.gemm()
    times = bench.interleaved({**runs, PRODUCT: product}, options.rounds)
    scale = flop / of_product  # the bound is the time of so many products
    rows = [
        {
            "what": name,
            "s": times.median(name),
            "x bound": (times.ratio(name, PRODUCT) or 0.0) / scale,
            "times rheobase's time": times.ratio(name, "rheobase"),
        }
        for name in runs
    ]
    rate = of_product / times.median(PRODUCT) / 1e9
    print(f"{flop / 1e9:.0f} GFLOP a step; a large product of matrices runs at {rate:.0f} GFLOP/s")
    roof = times.ratio("SpikingJelly", PRODUCT)
    if roof is not None:
        print(
            f"roofline: were all but these FLOP free, rheobase would be {roof / scale:.2f} x SpikingJelly\n"
        )
    goal = bench.Goal("VGG-9 step, times SpikingJelly's speed", times.ratio("SpikingJelly", "rheobase"), 2.5)
    bench.finish("train_step", rows, [goal], options)


if __name__ == "__main__":
    main()
