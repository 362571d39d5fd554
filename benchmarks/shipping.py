"""What a trained transformer is worth as an integer program: used by transformers.py and bestformer.py."""

from rheobase.compression import QuantConfig, harden, quantise_, quantisers, weight_bytes
from rheobase.compression.quantise import weighted_layers
from rheobase.cost import count
from rheobase.datasets import DataSet
from rheobase.models import SpikingModel
from rheobase.program.lower import lower
from rheobase.training import AugmentConfig, OptimiserConfig, TrainConfig, evaluate, fit
from rheobase.training.compressed import Schedule

ATTENTION = {"HeadSum", "HeadMatMul", "Gate", "TimeMix"}
COUNTED = 64  # test recordings whose operations are counted


def shipped(
    model: SpikingModel, data: DataSet, config: QuantConfig, seed: int, epochs: int = 5
) -> dict[str, object]:
    """Quantise what is float, fine-tune by SGD, harden and lower; the columns of a results file.

    `sops` are synaptic operations a recording, `attention` those of the ops that attention has beside its layers.
    """
    if len(quantisers(model)) < len(weighted_layers(model)):
        quantise_(model, config)
    fit(
        model,
        data.train,
        None,
        optimiser=OptimiserConfig(lr=0.01, weight_decay=1e-4),
        train=TrainConfig(epochs=epochs, batch_size=32, seed=seed + 1, threads=1),
        augment=AugmentConfig(shift=2),
        callbacks=[Schedule()],
        quiet=True,
    )
    hardened = harden(model.eval())
    program = lower(hardened, name="model", T=data.T)
    rows = count(program, data.test.frames[:COUNTED].swapaxes(0, 1).copy()).rows
    return {
        "hardened": round(evaluate(hardened, data.test).accuracy, 5),
        "hardened_bytes": weight_bytes(model),
        "sops": round(sum(row.synaptic_operations for row in rows)),
        "attention": round(sum(row.synaptic_operations for row in rows if row.op in ATTENTION)),
    }
