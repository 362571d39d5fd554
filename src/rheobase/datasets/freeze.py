"""Draw the frozen splits again: `python -m rheobase.datasets.freeze` (the files must not change)."""

from pathlib import Path

import numpy as np

from rheobase.datasets import digits_dvs, nmnist
from rheobase.datasets.split import freeze


def draw(root: Path | None = None) -> dict[str, str]:
    """File name and text of every frozen split, drawn from the data under `root` (else `$RHEOBASE_DATA`)."""
    texts = {}
    archive = nmnist.find(root, small=True)
    names, labels = nmnist.listing(archive)
    texts["nmnist-small-official"] = freeze(nmnist.official(names, labels), names)
    for seed in range(3):
        texts[f"nmnist-small-low-data-{seed}"] = freeze(nmnist.low_data(names, labels, seed), names)
    labels = np.array([recording.label for recording in digits_dvs.generate()], dtype=np.int64)
    texts["digits-dvs-official"] = freeze(digits_dvs.draw(labels), digits_dvs.names())
    return {f"{name}.json": text for name, text in texts.items()}


if __name__ == "__main__":
    folder = Path(__file__).parent / "splits"
    for file, text in draw().items():
        (folder / file).write_text(text)
        print(f"{folder / file}: {len(text)} bytes")
