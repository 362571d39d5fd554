"""MS-ResNet: pre-activation residual blocks whose shortcut adds currents, not spikes."""

from torch import nn

from rheobase.layers import BatchNorm2d, Conv2d, MSBlock
from rheobase.models.heads import build_head
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.neurons import build_neuron

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first block
BLOCKS = 2


def ms_resnet18(config: ModelConfig) -> SpikingModel:
    """MS-ResNet-18 for small event frames: 3x3 stem with stride 1, four stages of two blocks, a final neuron.

    11,173,386 parameters with 10 classes and 2 input channels (head `gap`); 48x48 ends in a 6x6 map.
    Batch-norm weights start at the threshold (tdBN; 1 with `lif_soft`), the second one of every block at 0,
    so each block starts as its shortcut. The ImageNet original has the neuron `lif_ms`, a 7x7 stem and stride
    2 in the first stage too.

    Source: Hu et al., MS-ResNet, arXiv 2112.08954; stem and strides are our reconstruction of what Ding et
    al., Stable Spike (CVPR 2026), use on 48x48 events.
    """
    neuron = config.neuron_config
    channels, (height, width) = config.channels(STAGES[0][0]), config.input_size
    stem = Conv2d(config.in_channels, channels, 3, padding=1, bias=False)
    norm = BatchNorm2d(channels)
    nn.init.constant_(norm.weight, neuron.v_threshold)
    features = nn.Sequential()
    features.add_module("stem", stem)
    features.add_module("norm", norm)
    for stage, (count, first_stride) in enumerate(STAGES, start=1):
        out = config.channels(count)
        for block in range(1, BLOCKS + 1):
            stride = first_stride if block == 1 else 1
            features.add_module(f"stage{stage}_block{block}", MSBlock(channels, out, stride, neuron))
            channels, height, width = out, -(-height // stride), -(-width // stride)
    features.add_module("neuron", build_neuron(neuron))
    return SpikingModel(config, features, build_head(config, channels, (height, width)))
