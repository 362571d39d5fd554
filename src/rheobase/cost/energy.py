"""Energy of counted operations under named models with stated constants.

    E = accumulates * ac + multiply_accumulates * mac + additions * add + multiplications * mul
        + bytes of weights * w + bytes of membranes and spikes * s                                     (pJ)

`horowitz45`: 45 nm, 0.9 V. int32 addition 0.1 pJ (int8: 0.03), int8 multiplication 0.2, int32 multiplication 3.1; reading 64 bits
from 8 kB, 32 kB and 1 MB of SRAM 10, 20 and 100 pJ, from DRAM 1.3 nJ (the lower end of 1.3 to 2.6). Writes are charged as reads.
An int4 multiplication is not in the source: it is taken as a quarter of the int8 one, as the area of a multiplier goes
with the product of its widths. `horowitz45_int8` accumulates in int8, the least that the source knows. `convention` is what
most papers on spiking networks print: 0.9 pJ for a float32 addition, 3.7 + 0.9 = 4.6 pJ for a float32 multiply-accumulate,
neurons and memory free, and a dense network of few bits no cheaper than one of 32.

Source: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from rheobase.cost.operations import Row, Table
from rheobase.errors import RecipeError, unknown

WeightReads = Literal["event", "step", "once"]


@dataclass(frozen=True)
class Level:
    """A memory: bytes it holds and pJ to move one byte."""

    name: str
    capacity: float
    per_byte: float


@dataclass(frozen=True)
class EnergyModel:
    """pJ of each kind of operation; `multiply_accumulate` by the bits of the factors, `memory` from small to large."""

    name: str
    accumulate: float
    multiply_accumulate: Mapping[int, float]
    addition: float
    multiplication: float
    memory: tuple[Level, ...] = ()

    def level(self, count: int) -> Level:
        """The smallest memory that holds `count` bytes."""
        return next((level for level in self.memory if count <= level.capacity), self.memory[-1])

    def in_memory(self, name: str) -> "EnergyModel":
        """This model with everything in the memory of that name, however much it is.

        Raises:
            RecipeError: the model has no such memory.
        """
        for level in self.memory:
            if level.name == name:
                return replace(self, memory=(level,))
        raise RecipeError(
            unknown(f"memory of {self.name}", name, [level.name for level in self.memory])
            if self.memory
            else f"{self.name} does not charge memory; choose horowitz45 to place everything in {name}"
        )


SRAM = (Level("8kB", 8 << 10, 10 / 8), Level("32kB", 32 << 10, 20 / 8), Level("1MB", 1 << 20, 100 / 8))
DRAM = Level("DRAM", float("inf"), 1300 / 8)
FREE = Level("none", float("inf"), 0.0)

MODELS: dict[str, EnergyModel] = {
    model.name: model
    for model in (
        EnergyModel("horowitz45", 0.1, {4: 0.05 + 0.1, 8: 0.2 + 0.1, 32: 3.1 + 0.1}, 0.1, 3.1, (*SRAM, DRAM)),
        EnergyModel(
            "horowitz45_int8", 0.03, {4: 0.05 + 0.03, 8: 0.2 + 0.03, 32: 3.1 + 0.1}, 0.1, 3.1, (*SRAM, DRAM)
        ),
        EnergyModel("convention", 0.9, {4: 4.6, 8: 4.6, 32: 4.6}, 0.0, 0.0),
    )
}


def energy_model(name: str) -> EnergyModel:
    """The model of that name.

    Raises:
        RecipeError: there is none; the message lists the names.
    """
    if name not in MODELS:
        raise RecipeError(unknown("energy model", name, MODELS))
    return MODELS[name]


@dataclass(frozen=True)
class Energy:
    """pJ of one inference."""

    compute: float
    memory: float

    @property
    def total(self) -> float:
        """With memory."""
        return self.compute + self.memory

    def __add__(self, other: "Energy") -> "Energy":
        return Energy(self.compute + other.compute, self.memory + other.memory)


def state_bytes(table: Table) -> int:
    """Bytes that lie in memory at once beside the weights: all membranes and logits, and the two largest maps."""
    maps = sorted(row.bytes_map for row in table.rows)
    return table.total().bytes_membranes + sum(maps[-2:])


def places(table: Table, model: EnergyModel) -> tuple[Level, Level]:
    """Where weights lie, and where membranes and maps do: the smallest memory that holds all weights, and `state_bytes`."""
    if not model.memory:
        return FREE, FREE
    return model.level(table.total().bytes_weights), model.level(state_bytes(table))


def energies(table: Table, model: EnergyModel, *, weights: WeightReads = "event") -> list[Energy]:
    """Energy of each row, one inference; weights and state lie at their `places`."""
    flash, ram = (place.per_byte for place in places(table, model))
    return [_energy(row, model, flash, ram, weights) for row in table.rows]


def energy(table: Table, model: EnergyModel, *, weights: WeightReads = "event") -> Energy:
    """Energy of one inference; see `energies`."""
    return sum(energies(table, model, weights=weights), Energy(0.0, 0.0))


def weight_reads(row: Row, weights: WeightReads) -> float:
    """Bytes of weights that are read under one of the three assumptions."""
    return {
        "event": row.bytes_weights_by_event,
        "step": row.bytes_weights_by_step,
        "once": float(row.bytes_weights),
    }[weights]


def _energy(row: Row, model: EnergyModel, flash: float, ram: float, weights: WeightReads) -> Energy:
    moved = (
        row.bytes_membranes_read
        + row.bytes_membranes_written
        + row.bytes_spikes_read
        + row.bytes_spikes_written
    )
    return Energy(
        compute=row.accumulates * model.accumulate
        + row.multiply_accumulates * model.multiply_accumulate[row.factor_bits]
        + row.additions * model.addition
        + row.multiplications * model.multiplication,
        memory=weight_reads(row, weights) * flash + moved * ram,
    )
