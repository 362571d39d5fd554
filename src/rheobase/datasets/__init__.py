"""Named data sets with frozen splits: frames of event counts and the recordings they came from, or still images.

`load_dataset(DataConfig(name="nmnist", T=4))` returns a `DataSet` with three `FrameSet`s. Raw data is found
under `$RHEOBASE_DATA`, frames are cached under `$RHEOBASE_CACHE`, and `split_hash` says exactly which
recordings are where. `cards` says what each is and whose, `fetch` downloads it, `foreign` takes other frameworks' data.
"""

from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import BoxedFrames, DataSet, FrameSet
from rheobase.datasets.download import fetch
from rheobase.datasets.load import list_datasets, load_dataset, load_recorded

__all__ = [
    "BoxedFrames",
    "DataConfig",
    "DataSet",
    "FrameSet",
    "fetch",
    "list_datasets",
    "load_dataset",
    "load_recorded",
]
