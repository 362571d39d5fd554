"""Which channels stay: ratios, floors, ties, rows of heads, schedules; and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_helpers import frames, network
from pydantic import ValidationError

from rheobase.compression.pruning import PruneConfig, PruneError, PrunePlan, prune_, prune_iteratively
from rheobase.compression.pruning.choose import Ranking, choose, keep_count
from rheobase.compression.pruning.groups import Group
from rheobase.errors import RecipeError


def group(name, size, rows=(), stays=()):
    return Group(name, (name,), tuple(range(size)), tuple(i not in stays for i in range(size)), rows)


def ranking(scores, ties=None):
    scores = np.array(scores, dtype=float)
    return Ranking(scores, np.zeros(len(scores)) if ties is None else np.array(ties, dtype=float))


def test_keep_count_survives_rounding():
    assert [keep_count(10, r) for r in (0, 0.3, 0.5, 0.9)] == [10, 7, 5, 1]
    assert keep_count(64, 0.45) == 35 and keep_count(3, 0.5) == 1


def test_each_layer_loses_its_lowest():
    kept = choose(
        [group("a", 4), group("b", 2)], [ranking([3, 1, 2, 4]), ranking([9, 8])], PruneConfig(ratio=0.5)
    )
    assert kept == [(0, 3), (0,)]


def test_ties_go_by_the_second_value_then_by_index():
    one = [group("a", 4)]
    assert choose(one, [ranking([1, 1, 1, 1], [0, 3, 1, 2])], PruneConfig(ratio=0.5)) == [(1, 3)]
    assert choose(one, [ranking([1, 1, 1, 1])], PruneConfig(ratio=0.5)) == [(0, 1)]


def test_one_global_ranking_over_normalised_scores():
    groups = [group("a", 4), group("b", 4)]
    # divided by the means 5 and 1: .2 .6 1.4 1.8 and .1 .7 1.2 2
    scores = [ranking([1, 3, 7, 9]), ranking([0.1, 0.7, 1.2, 2])]
    assert choose(groups, scores, PruneConfig(ratio=0.25, scope="global")) == [(1, 2, 3), (1, 2, 3)]
    raw = PruneConfig(ratio=0.25, scope="global", normalise="none")
    assert choose(groups, scores, raw) == [(0, 1, 2, 3), (2, 3)]


def test_no_layer_vanishes_under_a_global_ranking():
    groups = [group("weak", 10), group("strong", 10)]
    scores = [ranking(np.arange(10) / 1e6), ranking(np.arange(10) + 100)]
    config = PruneConfig(ratio=0.5, scope="global", normalise="none", min_keep=0.2)
    assert [len(kept) for kept in choose(groups, scores, config)] == [2, 8]
    config = config.model_copy(update={"min_keep": 0.0})
    assert [len(kept) for kept in choose(groups, scores, config)] == [1, 9]


def test_heads_keep_equal_numbers_and_choose_their_own():
    heads = group("qkv", 8, rows=((0, 1, 2, 3), (4, 5, 6, 7)))
    assert choose([heads], [ranking([1, 2, 3, 4, 40, 30, 20, 10])], PruneConfig(ratio=0.5)) == [(2, 3, 4, 5)]
    # three channels cannot be shared by two heads: two go
    assert len(choose([heads], [ranking(range(8))], PruneConfig(ratio=0.3))[0]) == 6
    assert len(choose([heads], [ranking(range(8))], PruneConfig(ratio=0.99))[0]) == 2


def test_channels_that_must_stay_are_passed_over():
    assert choose([group("a", 4, stays=(0,))], [ranking([0, 1, 2, 3])], PruneConfig(ratio=0.5)) == [(0, 3)]


def test_overrides_leave_the_global_ranking():
    groups = [group("stem", 4), group("deep1", 4), group("deep2", 4)]
    scores = [ranking([1, 2, 3, 4])] * 3
    config = PruneConfig(ratio=0.5, scope="global", overrides={"deep*": 0.75, "deep2": 0.0})
    assert [len(kept) for kept in choose(groups, scores, config)] == [2, 1, 4]
    with pytest.raises(RecipeError, match=r"unknown layer pattern 'depe1'.*did you mean 'deep1'"):
        choose(groups, scores, PruneConfig(overrides={"depe1": 0.5}))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.floats(0, 0.99),
    st.sampled_from(["layer", "global"]),
    st.integers(0, 99),
)
def test_counts(sizes, ratio, scope, seed):
    rng = np.random.default_rng(seed)
    groups = [group(f"layer{i}", size) for i, size in enumerate(sizes)]
    config = PruneConfig(ratio=ratio, scope=scope, min_keep=0.0)
    kept = choose(groups, [ranking(rng.random(size)) for size in sizes], config)
    assert all(kept)
    if scope == "layer":
        assert [len(k) for k in kept] == [max(1, keep_count(size, ratio)) for size in sizes]
    else:
        assert sum(map(len, kept)) == max(len(sizes), keep_count(sum(sizes), ratio))


def test_bad_configurations_teach():
    with pytest.raises(ValidationError, match=r"unknown score 'svd'; did you mean 'svs'"):
        PruneConfig(score="svd")
    for ratio in (1.0, -0.1, 50):
        with pytest.raises(ValidationError, match=r"share of channels to remove"):
            PruneConfig(ratio=ratio)
    with pytest.raises(ValidationError, match=r"conv1: 1 cannot be a pruning ratio"):
        PruneConfig(overrides={"conv1": 1.0})
    with pytest.raises(ValidationError):
        PruneConfig(scope="network")


def test_patterns_match_layers_of_the_model():
    model = network("vgg_small")
    config = PruneConfig(score="l1", ratio=0.5, overrides={"features.conv4": 0, "features.conv[12]": 0.25})
    plan = prune_(model, config, frames())
    assert [(g.name, len(g.kept)) for g in plan.groups] == [
        ("features.conv1", 3),
        ("features.conv2", 6),
        ("features.conv3", 8),
    ]
    assert model.features.conv4.weight.shape == (16, 8, 3, 3)
    with pytest.raises(RecipeError, match=r"unknown layer pattern 'conv9'"):
        prune_(network("vgg_small"), PruneConfig(overrides={"conv9": 0.5}), frames())


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_an_iterative_schedule_ends_where_one_shot_does(scope):
    model, shot = network("vgg_small"), network("vgg_small")
    seen = []

    def finetune(given, plan, step):
        assert given is model
        given.train()
        optimiser = torch.optim.SGD(given.parameters(), lr=0.01)
        given(frames(seed=step)).square().mean().backward()
        optimiser.step()
        seen.append((step, sum(len(g.kept) for g in plan.groups)))

    config = PruneConfig(ratio=0.6, scope=scope, iterations=3)
    plan = prune_iteratively(model, config, frames(), finetune)
    assert [step for step, _ in seen] == [1, 2, 3]
    counts = [44, *(count for _, count in seen)]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 4
    direct = prune_(shot, config.model_copy(update={"iterations": 1}), frames())
    assert sum(len(g.kept) for g in direct.groups) == counts[-1]
    if scope == "layer":
        assert [len(g.kept) for g in plan.groups] == [len(g.kept) for g in direct.groups] == [1, 3, 6, 6]
        assert [g.channels for g in plan.groups] == [4, 8, 16, 16]
    # one plan stands for the three steps
    from rheobase.compression.pruning import apply_plan

    fresh = apply_plan(network("vgg_small"), PrunePlan.model_validate_json(plan.model_dump_json()))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(frames()), model.eval()(frames()))


def test_prune_refuses_a_schedule():
    with pytest.raises(RecipeError, match="prune_iteratively"):
        prune_(network("vgg_small"), PruneConfig(iterations=2), frames())


def test_plans_that_do_not_fit_are_refused():
    from rheobase.compression.pruning import apply_plan, pruned_shapes

    model = network("vgg_small")
    plan = prune_(model, PruneConfig(ratio=0.5), frames())
    before = {name: tensor.shape for name, tensor in model.state_dict().items()}
    with pytest.raises(PruneError, match="applied already"):
        apply_plan(model, plan)
    assert before == {name: tensor.shape for name, tensor in model.state_dict().items()}
    with pytest.raises(PruneError, match=r"another model.*4 channels along axis 0"):
        pruned_shapes(network("vgg_small", width=0.5), plan)
    with pytest.raises(PruneError, match=r"cuts 'features.conv1.weight', which this model does not have"):
        apply_plan(network("ms_resnet18"), plan)
    with pytest.raises(PruneError, match="do not follow each other"):
        plan.then(plan)
    with pytest.raises(ValidationError, match="rising order between 0 and 3"):
        PrunePlan.model_validate({"groups": [{"name": "a", "layers": ["a"], "channels": 4, "kept": [0, 4]}]})
