"""From a configuration to its quantiser, and from a name and a width to a configuration."""

from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase
from rheobase.compression.quantisers.bwn import BWN, BWNConfig
from rheobase.compression.quantisers.dorefa import DoReFa, DoReFaConfig
from rheobase.compression.quantisers.libra import Libra, LibraConfig
from rheobase.compression.quantisers.lsq import LSQ, LSQConfig
from rheobase.compression.quantisers.max_abs import MaxAbs, MaxAbsConfig
from rheobase.compression.quantisers.mint import MINT, MINTConfig
from rheobase.compression.quantisers.rescaw import ReScaW, ReScaWConfig
from rheobase.compression.quantisers.shared import Shared, SharedConfig
from rheobase.compression.quantisers.standardised_sign import StandardisedSign, StandardisedSignConfig
from rheobase.compression.quantisers.ternary import Ternary, TernaryConfig
from rheobase.compression.quantisers.uniform import Uniform, UniformConfig
from rheobase.errors import RecipeError, unknown

QuantiserConfig = Annotated[
    ReScaWConfig
    | UniformConfig
    | MaxAbsConfig
    | LibraConfig
    | LSQConfig
    | DoReFaConfig
    | BWNConfig
    | TernaryConfig
    | MINTConfig
    | StandardisedSignConfig
    | SharedConfig,
    Field(discriminator="name"),
]
"""Any quantiser's options, told apart by ``name``."""

QUANTISERS: dict[type[QuantiserBase], type[Quantiser]] = {
    ReScaWConfig: ReScaW,
    UniformConfig: Uniform,
    MaxAbsConfig: MaxAbs,
    LibraConfig: Libra,
    LSQConfig: LSQ,
    DoReFaConfig: DoReFa,
    BWNConfig: BWN,
    TernaryConfig: Ternary,
    MINTConfig: MINT,
    StandardisedSignConfig: StandardisedSign,
    SharedConfig: Shared,
}

CONFIGS: dict[str, type[QuantiserBase]] = {
    name: config for config in QUANTISERS for name in get_args(config.model_fields["name"].annotation)
}


def build_quantiser(config: QuantiserBase) -> Quantiser:
    """The quantiser of a configuration; `start(weight)` then gives it the weight it begins with.

    Raises:
        RecipeError: no quantiser has this configuration.
    """
    if type(config) not in QUANTISERS:
        raise RecipeError(unknown("quantiser configuration", type(config).__name__, list_quantisers()))
    return QUANTISERS[type(config)](config)


def list_quantisers() -> list[str]:
    """Names of the weight quantisers."""
    return sorted(CONFIGS)


def quantiser_config(name: str, **options: Any) -> QuantiserBase:
    """Configuration of the quantiser called `name`; every option not given keeps its method's default.

    >>> quantiser_config("libra").bits
    1

    Raises:
        RecipeError: no quantiser has this name, or it does not allow an option (a width, say).
    """
    if name not in CONFIGS:
        raise RecipeError(unknown("quantiser", name, CONFIGS))
    try:
        return CONFIGS[name].model_validate({"name": name, **options})
    except ValidationError as error:
        problems = "; ".join(_problem(name, found) for found in error.errors(include_url=False))
        raise RecipeError(f"quantiser {name!r}: {problems}") from None


def widths(config: type[QuantiserBase] | QuantiserBase) -> tuple[int, ...]:
    """Widths in bits that a quantiser can have.

    >>> widths(LSQConfig)
    (2, 3, 4, 8)
    """
    kind = config if isinstance(config, type) else type(config)
    return get_args(kind.model_fields["bits"].annotation)


def _problem(name: str, found: Any) -> str:
    option = ".".join(map(str, found["loc"]))
    if option == "bits":
        known = ", ".join(map(str, widths(CONFIGS[name])))
        return f"bits is {found['input']!r}, it has {known}"
    if found["type"] == "extra_forbidden":
        return unknown("option", option, CONFIGS[name].model_fields)
    return f"{option}: {found['msg']}, got {found['input']!r}"
