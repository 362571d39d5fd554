"""Networks in the formats of other tools: NIR and ONNX. Their packages are optional and imported where they are used."""

from rheobase.exchange.agreement import Agreement, agreement
from rheobase.exchange.losses import ExchangeError, Loss, told
from rheobase.exchange.nir import NirExport, export_nir, import_nir, to_nir
from rheobase.exchange.onnx import export_onnx, run_onnx, to_onnx

__all__ = [
    "Agreement",
    "ExchangeError",
    "Loss",
    "NirExport",
    "agreement",
    "export_nir",
    "export_onnx",
    "import_nir",
    "run_onnx",
    "to_nir",
    "to_onnx",
    "told",
]
