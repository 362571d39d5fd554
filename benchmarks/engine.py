"""How fast the host engine is: one layer and a whole VGG-9, against fp32 torch and an int8 network of one pass.

    python benchmarks/engine.py [--check] [--rounds N] [--out FILE.csv] [--no-compile]

* layer: convolution 128 -> 128, 3x3, on 16x16, T = 4, with its neurons, one thread, over the fastest fp32 form of the
  same layer (torch convolution in either memory layout; neurons by plain torch or by rheobase's fused scan). The engine's
  time is that of the layer alone, taken inside C; a turn is the best of a few calls, for both.
* network: VGG-9 on 48x48, 4-bit weights, one sample, thresholds set so that each layer fires at about 10 %, over torch in
  fp32 (integrate-and-fire, batch-norm folded) and ONNX Runtime in fp32 and in int8 (ConvInteger, T unrolled), which give equal
  logits; whole calls.
* int8: the engine at T = 1, 2 and 4 beside one pass of the network without time, its activations 8-bit, by torch's
  quantised convolutions and by plain C in the way of CMSIS-NN (int8_twin.py).

Times of one thread are processor time, of two wall time (other programs then matter). Turns alternate; every time is the
least over the rounds, since other programs on the machine only ever add to it, and ratios are those of such times.
Two threads are timed where this process may use two processors. `--no-compile` leaves torch.compile out (minutes).
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable

import bench
import int8_twin
import numpy as np
import torch
from bench import Clock, Goal, Row, Times, best
from torch import Tensor, nn

from rheobase.engine import Engine
from rheobase.kernels import Sigmoid, neuron_scan, scan_reference
from rheobase.program import Conv2d, Flatten, Linear, Neuron, Op, Program, Readout, SumPool, Weight

T = 4
DECODE = {1: (2, -1), 2: (2, -3), 4: (2, -15), 8: (1, -128)}
RATES = (0.02, 0.05, 0.1, 0.2, 0.4)
KERNELS = ("event", "lookup")
VGG9 = (64, 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
Run = Callable[[], float]


def turns(runs: dict[str, Run], rounds: int) -> Times:
    """Seconds that each run reports, in turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            took = run()
            if turn:
                times[name].append(took)
    return Times(times)


def least(times: Times, name: str) -> float:
    """Least seconds of a run."""
    return min(times.rounds[name])


def over_best(times: Times, ours: str, peers: list[str]) -> float:
    """How many times as fast as the fastest peer."""
    return min(least(times, peer) for peer in peers) / least(times, ours)


def weight(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> Weight:
    return Weight(rng.integers(0, 1 << bits, shape, dtype=np.uint8), bits, *DECODE[bits])


def copy_of_frames(channels: int) -> list[Op]:
    """Spikes where the frame has them, so that the next layer reads spikes of a known rate."""
    codes = np.eye(channels, dtype=np.uint8)[:, :, None, None]
    fire = Neuron(np.ones(channels, np.int32), np.zeros(channels, np.int32), v_reset=0)
    return [Conv2d(Weight(codes, 1, 1, 0)), fire]


def layer_program(bits: int, rate: float) -> Program:
    rng, channels = np.random.default_rng(0), 128
    conv = weight(rng, (channels, channels, 3, 3), bits)
    spread = float(conv.values().std()) * (9 * channels * rate) ** 0.5
    leaky = Neuron(np.full(channels, max(1, int(2 * spread))), np.zeros(channels, np.int32), leak_shift=1)
    head = Linear(Weight(np.ones((2, channels), np.uint8), 1, 1, 0))
    tail = [SumPool(None), Flatten(), head, Readout(np.zeros(2, np.int32))]
    return Program(
        "layer", (channels, 16, 16), T, [*copy_of_frames(channels), Conv2d(conv, padding=1), leaky, *tail]
    )


def lif(scan: Callable[..., Tensor], x: Tensor, leak: float, threshold: float | Tensor) -> Tensor:
    return scan(
        x, leak, threshold, v_reset=None, detach_reset=True, strict=False, surrogate=Sigmoid(alpha=4.0)
    )


SCANS = {"plain": scan_reference, "fused": neuron_scan}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def torch_layers(frames: np.ndarray, program: Program) -> dict[str, Run]:
    """The fp32 forms of the layer by name."""
    conv, neuron = program.ops[2], program.ops[3]
    made: dict[str, Run] = {}
    for layout, memory_format in LAYOUTS.items():
        x = torch.from_numpy(frames[:, 0]).float().contiguous(memory_format=memory_format)
        w = torch.from_numpy(conv.weight.values()).float().contiguous(memory_format=memory_format)
        threshold = float(neuron.threshold[0])
        for how, scan in SCANS.items():

            def run(x: Tensor = x, w: Tensor = w, scan=scan, threshold: float = threshold) -> None:
                current = torch.nn.functional.conv2d(x, w, padding=1)
                lif(scan, current[:, None], 0.5, threshold)

            made[f"torch, {layout}, {how}"] = lambda run=run: best(run)
    return made


def measure_layer(rounds: int) -> tuple[list[Row], list[Goal]]:
    rows, reached = [], {}
    torch.set_num_threads(1)
    for bits in DECODE:
        for rate in RATES:
            program = layer_program(bits, rate)
            shape = (T, 1, *program.input_shape)
            frames = (np.random.default_rng(1).random(shape) < rate).astype(np.uint8)
            peers = torch_layers(frames, program)
            engines = {kernel: Engine(program, kernel=kernel) for kernel in KERNELS}
            ours: dict[str, Run] = {
                name: lambda engine=engine, x=frames: min(engine.profile(x)[1].seconds for _ in range(3))
                for name, engine in engines.items()
            }
            times = turns({**peers, **ours}, rounds)
            peer = min(peers, key=lambda name: least(times, name))
            for kernel in ours:
                ratio = over_best(times, kernel, list(peers))
                reached[bits, rate] = max(ratio, reached.get((bits, rate), 0.0))
                rows.append(
                    {
                        "what": f"layer, {bits} bit, {rate:.0%}, {kernel}",
                        "ms": least(times, kernel) * 1e3,
                        "peer": peer,
                        "peer ms": least(times, peer) * 1e3,
                        "ratio": ratio,
                    }
                )
    goals = [
        Goal("layer, 1 bit, 10 %: times as fast as fp32", reached[1, 0.1], 18.0),
        Goal("layer, 1 bit, 40 %: times as fast as fp32", reached[1, 0.4], 18.0),
        Goal("layer, 4 bit, 10 %: times as fast as fp32", reached[4, 0.1], 19.0),
        Goal("layer, 8 bit, 10 %: times as fast as fp32", reached[8, 0.1], 17.5),
        Goal("layer, 8 bit, 40 %: times as fast as fp32", reached[8, 0.4], 5.7),
    ]
    return rows, goals


def threshold_for(current: np.ndarray, channels: int, rate: float) -> Neuron:
    """Integrate-and-fire neurons that fire at about `rate` on this current, by bisection."""
    low, high = 1, 32000
    zero = np.zeros(channels, np.int32)
    while low < high:
        middle = (low + high) // 2
        fired = Neuron(np.full(channels, middle), zero).run(current).mean()
        low, high = (middle + 1, high) if fired > rate else (low, middle)
    return Neuron(np.full(channels, low), zero)


def vgg9(steps: int, rate: float = 0.1) -> tuple[Program, np.ndarray]:
    """VGG-9 with random 4-bit weights on sparse frames, every layer at about `rate` over `steps` steps."""
    rng = np.random.default_rng(0)
    frames = rng.poisson(rate, (steps, 1, 2, 48, 48)).clip(0, 255).astype(np.uint8)
    x: np.ndarray = frames
    ops: list[Op] = []
    for token in VGG9:
        if token == "pool":
            ops.append(SumPool(2))
        else:
            channels = int(token)
            ops.append(Conv2d(weight(rng, (channels, x.shape[2], 3, 3), 4), padding=1))
            current = ops[-1].run(x)
            ops.append(threshold_for(current, channels, rate))
            x = current
        x = ops[-1].run(x)
    ops += [
        Flatten(),
        Linear(weight(rng, (10, int(np.prod(x.shape[2:]))), 4)),
        Readout(np.zeros(10, np.int32)),
    ]
    return Program("vgg9", (2, 48, 48), steps, ops), frames


class Float(nn.Module):
    """The program in float32: equal logits, as no integer of it reaches 2^24 on these frames."""

    def __init__(self, program: Program, scan: Callable[..., Tensor]) -> None:
        super().__init__()
        self.ops, self.scan = list(program.ops), scan
        values = [torch.from_numpy(op.weight.values()).float() for op in self.ops if hasattr(op, "weight")]
        self.weights = nn.ParameterList([nn.Parameter(value, requires_grad=False) for value in values])

    def forward(self, x: Tensor) -> Tensor:
        """Frames `[T, N, C, H, W]` to each step's logits `[T, N, K]`."""
        steps, weights = len(x), iter(self.weights)
        x = x.flatten(0, 1)
        for op in self.ops:
            if isinstance(op, Conv2d):
                x = nn.functional.conv2d(x, next(weights), padding=1)
            elif isinstance(op, Linear):
                x = nn.functional.linear(x, next(weights))
            elif isinstance(op, SumPool):
                x = 4.0 * nn.functional.avg_pool2d(x, 2)
            elif isinstance(op, Flatten):
                x = x.flatten(1)
            elif isinstance(op, Neuron):
                x = lif(self.scan, x.unflatten(0, (steps, -1)), 1.0, float(op.threshold[0])).flatten(0, 1)
        return x.unflatten(0, (steps, -1))


def floats(program: Program, frames: np.ndarray, compiled: bool) -> dict[str, Callable[[], Tensor]]:
    """The fp32 forms of the network by name."""
    made: dict[str, Callable[[], Tensor]] = {}
    for layout, memory_format in LAYOUTS.items():
        x = (
            torch.from_numpy(frames)
            .float()
            .flatten(0, 1)
            .contiguous(memory_format=memory_format)
            .unflatten(0, (T, 1))
        )
        for how, scan in SCANS.items():
            model = Float(program, scan).to(memory_format=memory_format)
            made[f"torch, {layout}, {how}"] = lambda model=model, x=x: model(x)
            if compiled and how == "plain":
                made |= bench.peers({f"torch.compile, {layout}": lambda model=model, x=x: faster(model, x)})
    return made


def faster(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """The model compiled by torch.

    Raises:
        RuntimeError: torch cannot compile here.
    """
    compiled = torch.compile(model)
    compiled(x)
    return lambda: compiled(x)


def onnx_network(program: Program, frames: np.ndarray, threads: int, int8: bool) -> Callable[[], np.ndarray]:
    """The program in ONNX Runtime, exact: spikes and weights in 8 bits with sums in 32, or all in float; neurons in float."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, count = [], [], iter(range(1 << 20))
    kind, number = (TensorProto.UINT8, np.int8) if int8 else (TensorProto.FLOAT, np.float32)

    def constant(value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, f"c{next(count)}"))
        return constants[-1].name

    def call(operator: str, *inputs: str, **fields: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"v{next(count)}"], **fields))
        return nodes[-1].output[0]

    def fire(x: str, neuron: Neuron) -> str:
        threshold, membrane, spikes = constant(np.float32(neuron.threshold[0])), "", []
        for t in range(T):
            current = call("Gather", x, constant(np.array([t])), axis=0)
            membrane = call("Add", membrane, current) if membrane else current
            fired = call("GreaterOrEqual", membrane, threshold)
            spikes.append(call("Cast", fired, to=kind))
            reset = call("Mul", call("Cast", fired, to=TensorProto.FLOAT), threshold)
            membrane = call("Sub", membrane, reset)
        return call("Concat", *spikes, axis=0)

    def as_float(x: str) -> str:
        return call("Cast", x, to=TensorProto.FLOAT) if int8 else x

    x = "frames" if int8 else call("Cast", "frames", to=kind)
    for op in program.ops[:-1]:
        if isinstance(op, Conv2d):
            w = constant(op.weight.values().astype(number))
            x = as_float(call("ConvInteger" if int8 else "Conv", x, w, pads=[1, 1, 1, 1]))
        elif isinstance(op, Linear):
            w = constant(op.weight.values().T.astype(number).copy())
            x = call("MatMulInteger" if int8 else "MatMul", x, w)
        elif isinstance(op, SumPool):
            mean = call("AveragePool", as_float(x), kernel_shape=[2, 2], strides=[2, 2])
            x = call("Mul", mean, constant(np.float32(4)))
            x = call("Cast", x, to=kind) if int8 else x
        elif isinstance(op, Flatten):
            x = call("Flatten", x)
        elif isinstance(op, Neuron):
            x = fire(x, op)
    result = TensorProto.INT32 if int8 else kind
    graph = helper.make_graph(
        nodes,
        "vgg9",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, [T, *program.input_shape])],
        [helper.make_tensor_value_info(x, result, [T, 10])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    fed = {"frames": np.ascontiguousarray(frames[:, 0])}
    return lambda: session.run(None, fed)[0][:, None]


def measure_network(rounds: int, compiled: bool) -> tuple[list[Row], list[Goal]]:
    networks_of = {steps: vgg9(steps) for steps in (1, 2, T)}
    program, frames = networks_of[T]
    expected = Engine(program).run(frames)
    for steps, (each, x) in networks_of.items():
        rates = [part.rate for part in Engine(each).profile(x)]
        print(f"VGG-9, T={steps}, events per input: " + ", ".join(f"{rate:.1%}" for rate in rates))
    rows, goals = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twins = bench.peers({int8_twin.TORCH: lambda: int8_twin.torch_twin(program)})
    plain = {int8_twin.C: int8_twin.c_twin(program)}
    processors = len(os.sched_getaffinity(0))
    for threads in (1, 2):
        one = "one thread" if threads == 1 else f"{threads} threads"
        over_fp32 = f"vgg9, T=4 at 10 %, {one}: times as fast as fp32"
        if threads > processors:
            goals.append(Goal(over_fp32, None, 12.0))
            continue
        torch.set_num_threads(threads)
        clock: Clock = time.thread_time if threads == 1 else time.perf_counter
        engines = {steps: Engine(each, threads=threads) for steps, (each, _) in networks_of.items()}
        networks = floats(program, frames, compiled)
        for name, run in networks.items():
            if not np.array_equal(run().detach().numpy(), expected):
                raise SystemExit(f"{name} and the engine differ")
        onnx_name = "ONNX Runtime int8"
        others = bench.peers(
            {
                name: lambda threads=threads, int8=int8: onnx_network(program, frames, threads, int8)
                for name, int8 in ((onnx_name, True), ("ONNX Runtime fp32", False))
            }
        )
        for name, run in others.items():
            if not np.array_equal(run(), expected):
                raise SystemExit(f"{name} and the engine differ")
        runs: dict[str, Run] = {
            name: lambda run=run, clock=clock: best(run, clock)
            for name, run in {**networks, **others}.items()
        }
        passes = {**twins, **(plain if threads == 1 else {})}
        for name, twin in passes.items():
            runs[name] = lambda twin=twin, clock=clock: best(twin, clock)
        ours = {f"engine, T={steps}": steps for steps in engines}
        for name, steps in ours.items():
            ready, x = engines[steps], networks_of[steps][1]
            runs[name] = lambda ready=ready, x=x, clock=clock: best(lambda: ready.run(x), clock)
        with torch.inference_mode():
            times = turns(runs, rounds)
        peer = min(networks, key=lambda name: least(times, name))
        for name in runs:
            ratio = over_best(times, f"engine, T={T}", [name])
            rows.append(
                {
                    "what": f"vgg9, {threads} threads, {name}",
                    "ms": least(times, name) * 1e3,
                    "engine is faster": ratio,
                }
            )
        for name in passes:
            for ours_name, steps in ours.items():
                ratio = over_best(times, ours_name, [name])
                rows.append({"what": f"vgg9, {threads} threads, {name} / engine T={steps}", "ratio": ratio})
                if steps == T and threads == 1 and name in twins:
                    goals.append(Goal("vgg9, T=4 at 10 %: times as fast as one int8 pass", ratio, 1.28))
        ratio = over_best(times, f"engine, T={T}", list(networks))
        rows.append({"what": f"vgg9, {threads} threads, engine over fp32", "peer": peer, "ratio": ratio})
        goals.append(Goal(over_fp32, ratio, 12.0))
        if threads == 1:
            over = over_best(times, f"engine, T={T}", [onnx_name]) if onnx_name in others else None
            goals.append(Goal("vgg9, T=4 at 10 %, one thread: times as fast as ONNX Runtime int8", over, 3.0))
    return rows, goals


def main() -> None:
    parser: argparse.ArgumentParser = bench.parser("The host engine against fp32 and int8 torch.", 15)
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile too (minutes)"
    )
    options = parser.parse_args()
    start = time.perf_counter()
    rows, goals = measure_layer(options.rounds)
    more_rows, more_goals = measure_network(options.rounds, options.compile)
    print(f"took {time.perf_counter() - start:.0f} s")
    bench.finish("engine", rows + more_rows, goals + more_goals, options)


if __name__ == "__main__":
    main()
