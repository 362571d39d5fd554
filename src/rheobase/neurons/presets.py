"""The neuron variants of the literature, kept apart: mixing them is the commonest cause of a missed number.

| preset | update | fires if | reset | surrogate |
| --- | --- | --- | --- | --- |
| `lif_soft` | h = 0.5 v + x | h >= 1 | soft | rectangular, width 1 |
| `lif_sj` | h = v + (x - v)/2 | h >= 1 | hard 0, detached | sigmoid, alpha 4 |
| `lif_tet` | h = 0.5 v + x | h > 1 | hard 0 | triangular, gamma 1 |
| `lif_nda` | h = 0.25 v + x | h >= 0.5 | hard 0 | rectangular, width 1 |
| `lif_ms` | h = 0.25 v + x | h > 0.5 | hard 0, detached | rectangular, width 1 |
| `q_snn` | h = 0.5 v + x, v of 8 bit | h > 1 | hard 0 | triangular, gamma 1 |
| `plif_sew` | h = v + (x - v) sigmoid(w) | h >= 1 | hard 0, detached | arc tangent, alpha 2 |
| `if_soft` | h = v + x | h >= 1 | soft | rectangular, width 1 |
| `ternary_lif` | h = 0.5 v + x | h >= 1 or h <= -1 | hard 0, detached | triangular, gamma 1, at either threshold |
| `qt_snn` | the same, v of 2 bit: -1, 0 or 1 | h >= 1 or h <= -1 | hard 0, detached | the same |
| `ternary_spike` | h = 0.25 v + x | h > 0.5 or h < -0.5 | hard 0 | rectangular, width 1, at either threshold |

Sources
* `lif_soft`: Ding et al., Stable Spike (CVPR 2026, arXiv 2603.11676) and the same group's earlier work; the
  papers state no stop-gradient through the reset.
* `lif_sj`: SpikingJelly's `LIFNode` as used by QKFormer (arXiv 2403.16552), Spikformer (arXiv 2209.15425) and
  Spike-driven Transformer (arXiv 2307.01694).
* `lif_tet`: Deng et al., temporal efficient training (ICLR 2022, arXiv 2202.11946), released code.
* `lif_nda`: Li et al., neuromorphic data augmentation (ECCV 2022, arXiv 2203.06145), released code.
* `lif_ms`: Hu et al., MS-ResNet (arXiv 2112.08954), released code.
* `q_snn`: Wei et al., Q-SNN (ACM MM 2024, arXiv 2406.13672), released code: the membrane kept is rounded tanh.
* `plif_sew`: Fang et al., SEW-ResNet (NeurIPS 2021, arXiv 2102.04159), PLIF started at tau = 2.
* `if_soft`: Rueckauer et al. (2017), the neuron of network conversion.
* `ternary_lif`, `qt_snn`: after "Ternary spike-based neuromorphic signal processing system", Neural Networks 187 (2025);
  no code was available, so both are reconstructions. `qt_snn` keeps membranes of 2 bit.
* `ternary_spike`: Guo et al., Ternary Spike (AAAI 2024, arXiv 2312.06372), released code; its surrogate is 1 where |h| < 1.
"""

from rheobase.errors import RecipeError, unknown
from rheobase.kernels import Atan, Rectangular, Sigmoid, TanhMembrane, Triangular, UniformMembrane
from rheobase.neurons.config import NeuronConfig

PRESETS: dict[str, NeuronConfig] = {
    "lif_soft": NeuronConfig(tau=2.0, v_threshold=1.0, v_reset=None, surrogate=Rectangular(width=1.0)),
    "lif_sj": NeuronConfig(
        tau=2.0,
        v_threshold=1.0,
        v_reset=0.0,
        decay_input=True,
        detach_reset=True,
        surrogate=Sigmoid(alpha=4.0),
    ),
    "lif_tet": NeuronConfig(
        tau=2.0, v_threshold=1.0, v_reset=0.0, strict=True, surrogate=Triangular(gamma=1.0)
    ),
    "lif_nda": NeuronConfig(tau=4 / 3, v_threshold=0.5, v_reset=0.0, surrogate=Rectangular(width=1.0)),
    "lif_ms": NeuronConfig(
        tau=4 / 3,
        v_threshold=0.5,
        v_reset=0.0,
        strict=True,
        detach_reset=True,
        surrogate=Rectangular(width=1.0),
    ),
    "q_snn": NeuronConfig(
        tau=2.0,
        v_threshold=1.0,
        v_reset=0.0,
        strict=True,
        membrane=TanhMembrane(bits=8),
        surrogate=Triangular(gamma=1.0),
    ),
    "plif_sew": NeuronConfig(
        kind="plif",
        tau=2.0,
        v_threshold=1.0,
        v_reset=0.0,
        decay_input=True,
        detach_reset=True,
        surrogate=Atan(alpha=2.0),
    ),
    "if_soft": NeuronConfig(kind="if", v_threshold=1.0, v_reset=None, surrogate=Rectangular(width=1.0)),
    "ternary_lif": NeuronConfig(
        tau=2.0,
        v_threshold=1.0,
        v_reset=0.0,
        detach_reset=True,
        ternary=True,
        surrogate=Triangular(gamma=1.0),
    ),
    "qt_snn": NeuronConfig(
        tau=2.0,
        v_threshold=1.0,
        v_reset=0.0,
        detach_reset=True,
        ternary=True,
        membrane=UniformMembrane(bits=2, limit=1.0),
        surrogate=Triangular(gamma=1.0),
    ),
    "ternary_spike": NeuronConfig(
        tau=4 / 3, v_threshold=0.5, v_reset=0.0, strict=True, ternary=True, surrogate=Rectangular(width=1.0)
    ),
}


def preset(name: str) -> NeuronConfig:
    """Configuration of a named variant; the table above says what each is and where it comes from.

    Raises:
        RecipeError: no preset has this name; the message lists them.
    """
    if name not in PRESETS:
        raise RecipeError(unknown("neuron preset", name, PRESETS))
    return PRESETS[name]
