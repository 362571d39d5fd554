"""Structured pruning: whole channels go, and with them every weight that made or read them."""

from rheobase.compression.pruning.config import SCORE_NAMES, PruneConfig
from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.groups import Group, find_groups
from rheobase.compression.pruning.mask import mask_
from rheobase.compression.pruning.plan import Cut, GroupPlan, PrunePlan, apply_plan, pruned_shapes
from rheobase.compression.pruning.prune import plan_pruning, prune_, prune_iteratively
from rheobase.compression.pruning.scores import SlimmingPenalty, batch_norm_scales
from rheobase.compression.pruning.tracing import trace

__all__ = [
    "SCORE_NAMES",
    "Cut",
    "Group",
    "GroupPlan",
    "PruneConfig",
    "PruneError",
    "PrunePlan",
    "SlimmingPenalty",
    "apply_plan",
    "batch_norm_scales",
    "find_groups",
    "mask_",
    "plan_pruning",
    "prune_",
    "prune_iteratively",
    "pruned_shapes",
    "trace",
]
