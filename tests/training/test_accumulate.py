"""Micro-batches add up to the batch they were cut from."""

import pytest
import torch
from ddp_worker import run

from rheobase.errors import RecipeError
from rheobase.training import TrainConfig, fit
from rheobase.training.loader import plan


@pytest.mark.parametrize("objective", [{"name": "stable_spike"}, {"name": "tet"}], ids=lambda o: o["name"])
def test_without_batch_norm_micro_batches_change_nothing(objective):
    """In float64; 40 samples in batches of 12 leave 4, cut into two; noise too is drawn as for the batch."""
    whole, cut = (
        run({"objective": objective, "norm": False, "train": {"accumulate": accumulate}})
        for accumulate in (1, 4)
    )
    for (name, one), two in zip(whole[0].items(), cut[0].values(), strict=True):
        torch.testing.assert_close(
            one, two, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}"
        )
    for one, two in zip(whole[1], cut[1], strict=True):
        assert one == pytest.approx(two, rel=1e-5, abs=1e-7)
    assert whole[1][-1]["train_loss"] < whole[1][0]["train_loss"]


def test_micro_batches_are_nearly_equal_and_complete():
    for steps in (list(plan(37, 16, seed=0, epoch=0, accumulate=3)),):
        assert [[part.size for part in parts] for parts in steps] == [[6, 5, 5], [6, 5, 5], [5]]
        assert sorted(i for parts in steps for part in parts for i in part.indices) == list(range(37))
        assert all(part.of == sum(each.size for each in parts) for parts in steps for part in parts)


def test_more_micro_batches_than_samples(frames):
    with pytest.raises(
        RecipeError, match=r"batch_size=4 is shared by 1 processes and 5 micro-batches.*raise it to 5"
    ):
        fit(torch.nn.Identity(), frames, train=TrainConfig(batch_size=4, accumulate=5, threads=1), quiet=True)
