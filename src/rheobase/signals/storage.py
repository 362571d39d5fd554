"""Codes in `.npz` files: spikes, side, encoder, scaling; all that is needed to have the signal back."""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from rheobase.errors import DataError
from rheobase.files import atomic_write
from rheobase.signals.build import Encoder
from rheobase.signals.encoder import Code, EncoderBase, Samples
from rheobase.signals.scale import Scaling


@dataclass(frozen=True)
class Encoded:
    """A code, the encoder that made it, and what the signal was."""

    code: Code
    encoder: EncoderBase
    channels: tuple[str, ...]
    rate: float | None = None
    scaling: Scaling | None = None

    def signal(self) -> Samples:
        """The signal that the spikes stand for, in its own units. Shape: [L, N, C].

        Raises:
            DataError: the code cannot be decoded.
        """
        x = self.encoder.decode(self.code.spikes, **self.code.side)
        return x if self.scaling is None else self.scaling.undo(x)


def save_encoded(encoded: Encoded, path: Path | str) -> None:
    """Write `spikes`, one `side_<name>` for each part of the side, and `about` (JSON) to `path`, atomically."""
    about = {
        "encoder": encoded.encoder.model_dump(mode="json"),
        "channels": encoded.channels,
        "rate": encoded.rate,
        "scaling": encoded.scaling and encoded.scaling.model_dump(mode="json"),
    }
    side = {f"side_{name}": np.asarray(value) for name, value in encoded.code.side.items()}
    sink = io.BytesIO()
    np.savez_compressed(sink, spikes=encoded.code.spikes, about=np.array(json.dumps(about)), **side)  # type: ignore[arg-type]
    atomic_write(Path(path), sink.getvalue())


def load_encoded(path: Path | str) -> Encoded:
    """What `save_encoded` wrote.

    Raises:
        DataError: the file is absent, damaged, or something else.
    """
    try:
        with Path(path).open("rb") as whole, np.load(whole, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            spikes = file["spikes"]
            side = {name[5:]: file[name] for name in file.files if name.startswith("side_")}
        encoder = TypeAdapter[EncoderBase](Encoder).validate_python(about["encoder"])
        scaling = None if about["scaling"] is None else Scaling(**about["scaling"])
        return Encoded(Code(spikes, side), encoder, tuple(about["channels"]), about["rate"], scaling)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{path}: not a file of spikes that `rheobase encode` wrote ({error})") from error
