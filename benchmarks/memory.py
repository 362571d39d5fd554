"""Bytes a LIF layer keeps for its backward pass: rheobase, SpikingJelly, snnTorch, Norse, plain torch.

    python benchmarks/memory.py [--shape 4,32,64,16,16] [--out F.csv] [--check]

What autograd saves is counted with `torch.autograd.graph.saved_tensors_hooks`: the bytes of each storage, once,
divided by the elements of the input. All kinds of reset; no times, so rounds mean nothing here. The bound is
the input alone: 4 bytes an element, and one bit more for the spike where a reset needs it.
"""

from collections.abc import Callable

import bench
import torch
from peer_neurons import NEURONS
from torch import Tensor

RESETS = (("hard", True), ("hard", False), ("soft", True), ("soft", False))


def kept(run: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Bytes saved for backward by `run(x)`, an element of x."""
    storages: dict[int, tuple[int, Tensor]] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        storages[storage.data_ptr()] = (
            storage.nbytes(),
            saved,
        )  # the tensor too, lest its address be used again
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        run(x.clone().requires_grad_())
    return sum(size for size, _ in storages.values()) / x.numel()


def main() -> None:
    parser = bench.parser("Bytes that a LIF layer keeps for its backward pass.", rounds=1)
    parser.add_argument("--shape", default="4,32,64,16,16", help="T,N,... of the input")
    options = parser.parse_args()
    shape = tuple(int(part) for part in options.shape.split(","))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rows: dict[str, bench.Row] = {}
    for reset, detach in RESETS:
        column = f"{reset}{', detached' if detach else ''}"
        for name, make in NEURONS.items():
            found = bench.peers({f"{name} ({column})": lambda make=make, r=reset, d=detach: make(r, d)})
            for run in found.values():
                rows.setdefault(name, {"bytes/element": name})[column] = kept(run, x)
    most = max(value for value in rows["rheobase"].values() if isinstance(value, float))
    goal = bench.Goal("bytes kept for backward an element, the worst reset", most, 4.125, most=True)
    bench.finish("memory", list(rows.values()), [goal], options)


if __name__ == "__main__":
    main()
