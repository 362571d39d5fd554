"""All encoders: one type to read configurations by, one table of names."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from rheobase.errors import RecipeError, unknown
from rheobase.signals.bsa import BSA
from rheobase.signals.direct import Direct
from rheobase.signals.encoder import EncoderBase
from rheobase.signals.hsa import HSA
from rheobase.signals.latency import Latency
from rheobase.signals.moving_window import MovingWindow
from rheobase.signals.phase import Phase
from rheobase.signals.rate import Rate
from rheobase.signals.receptive_fields import ReceptiveFields
from rheobase.signals.send_on_delta import SendOnDelta
from rheobase.signals.step_forward import StepForward
from rheobase.signals.tae import TAE
from rheobase.signals.temporal_contrast import TemporalContrast

Encoder = Annotated[
    TAE
    | StepForward
    | SendOnDelta
    | MovingWindow
    | TemporalContrast
    | BSA
    | HSA
    | Rate
    | Latency
    | Phase
    | ReceptiveFields
    | Direct,
    Field(discriminator="name"),
]

ENCODERS: dict[str, type[EncoderBase]] = {
    "tae": TAE,
    "step_forward": StepForward,
    "send_on_delta": SendOnDelta,
    "moving_window": MovingWindow,
    "temporal_contrast": TemporalContrast,
    "bsa": BSA,
    "hsa": HSA,
    "rate": Rate,
    "latency": Latency,
    "phase": Phase,
    "receptive_fields": ReceptiveFields,
    "direct": Direct,
}


def create_encoder(name: str, **options: Any) -> EncoderBase:
    """The encoder of that name.

    Raises:
        RecipeError: there is none, or an option is unknown or out of range.
    """
    if name not in ENCODERS:
        raise RecipeError(unknown("encoder", name, ENCODERS))
    return with_options(ENCODERS[name](name=name), **options)


def with_options(encoder: EncoderBase, **options: Any) -> EncoderBase:
    """The same encoder with other options, validated.

    Raises:
        RecipeError: an option is unknown or out of range.
    """
    try:
        return type(encoder).model_validate({**encoder.model_dump(), **options})
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(name for name in type(encoder).model_fields if name != "name")
        where = f"{encoder.name} {'.'.join(map(str, first['loc']))}".strip()
        raise RecipeError(f"{where}: {first['msg']}; options: {known}") from error
