"""The rules by name: what a spike-time layer computes, as data."""

from typing import Annotated

from pydantic import Field

from rheobase.spiketime.comsa import Comsa
from rheobase.spiketime.eventprop import EventProp
from rheobase.spiketime.goltz import Goltz1, Goltz2
from rheobase.spiketime.mostafa import Mostafa
from rheobase.spiketime.rel_psp import RelPsp
from rheobase.spiketime.s4nn import S4NN
from rheobase.spiketime.std_ed import StdEd

Rule = RelPsp | StdEd | Mostafa | Goltz1 | Goltz2 | Comsa | EventProp | S4NN
"""Anything with `start(weight)` and `fire(times[N, S], weight[m, n], geometry) -> times[N, P, m]`."""

RuleConfig = Annotated[Rule, Field(discriminator="name")]
