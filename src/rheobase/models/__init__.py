"""Spiking networks: one family a file, one registry, one contract."""

from rheobase.models.features import MultiScale, features_only
from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.registry import create_model, family_of, list_models, model_options

__all__ = [
    "ModelConfig",
    "MultiScale",
    "SpikingModel",
    "create_model",
    "family_of",
    "features_only",
    "list_models",
    "model_options",
]
