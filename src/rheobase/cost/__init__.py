"""Operations, bytes and energy of a program on given data, beside a dense network of its topology."""

from rheobase.cost.compare import Against, BreakEven, Comparison, break_even, compare_with_twins
from rheobase.cost.energy import MODELS, Energy, EnergyModel, energies, energy, energy_model, places
from rheobase.cost.measure import count_steps
from rheobase.cost.operations import Row, Table, count, mean
from rheobase.cost.twin import twin

__all__ = [
    "MODELS",
    "Against",
    "BreakEven",
    "Comparison",
    "Energy",
    "EnergyModel",
    "Row",
    "Table",
    "break_even",
    "compare_with_twins",
    "count",
    "count_steps",
    "energies",
    "energy",
    "energy_model",
    "mean",
    "places",
    "twin",
]
