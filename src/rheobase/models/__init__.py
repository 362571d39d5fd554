"""Spiking networks: one family a file, one registry, one contract."""

from rheobase.models.model import ModelConfig, SpikingModel
from rheobase.models.registry import create_model, family_of, list_models, model_options

__all__ = ["ModelConfig", "SpikingModel", "create_model", "family_of", "list_models", "model_options"]
