"""Scores of channels, one file each: a higher score stays."""

from rheobase.compression.pruning.scores.base import SCORES, Score, rank
from rheobase.compression.pruning.scores.hrank import HRank, hrank
from rheobase.compression.pruning.scores.l1 import L1, l1
from rheobase.compression.pruning.scores.random import Random
from rheobase.compression.pruning.scores.sca import SCA, sca
from rheobase.compression.pruning.scores.slimming import Slimming, SlimmingPenalty, batch_norm_scales
from rheobase.compression.pruning.scores.svs import SVS, svs

SCORES.update(svs=SVS, sca=SCA, hrank=HRank, l1=L1, slimming=Slimming, random=Random)

__all__ = [
    "L1",
    "SCA",
    "SCORES",
    "SVS",
    "HRank",
    "Random",
    "Score",
    "Slimming",
    "SlimmingPenalty",
    "batch_norm_scales",
    "hrank",
    "l1",
    "rank",
    "sca",
    "svs",
]
