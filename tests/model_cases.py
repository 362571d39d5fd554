"""Which registered models a test runs over: all convolutional ones, and the small one of each family of transformers."""

from rheobase.models import family_of, list_models

CONVOLUTIONAL = [name for name in list_models() if family_of(name) in ("vgg", "resnet", "ms_resnet")]
SMALL_TRANSFORMERS = [name for name in list_models() if name not in CONVOLUTIONAL and name.endswith("_small")]
EACH = CONVOLUTIONAL + SMALL_TRANSFORMERS
"""The sizes of a family have one builder; parameter counts of all are in models/test_transformers.py."""

SEQUENCES = [name for name in list_models() if family_of(name) == "sequence"]
"""Networks for signals."""

PRUNED = CONVOLUTIONAL + ["qkformer_small", "sdt_small", "spikformer_small", "spikingformer_small"]
"""Those in which a neuron follows every layer, as the scores of spikes need."""
