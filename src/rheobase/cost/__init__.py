"""Operations and bytes of a program on given data."""

from rheobase.cost.operations import Row, Table, count

__all__ = ["Row", "Table", "count"]
