"""Training on signals: signed frames, labels by step, weights quantised from the start, changes along time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.models import create_model
from rheobase.objectives import CrossEntropy
from rheobase.training import ArrayFrames, OptimiserConfig, TrainConfig, evaluate, fit, parse_recipe
from rheobase.training.augment.sequence import (
    SequenceAugment,
    SequenceDraws,
    augmented_sequence,
    delayed,
    draw_sequence,
    mask,
)
from rheobase.training.loader import as_input
from rheobase.training.run import build_model


def alternation(n: int = 48, T: int = 12) -> ArrayFrames:
    """Signed spikes whose label at each step is the sign two steps before; the first two have none."""
    rng = np.random.default_rng(0)
    frames = rng.choice([-1, 1], size=(n, T, 2, 1, 1)).astype(np.int8)
    labels = np.full((n, T), -1)
    labels[:, 2:] = frames[:, :-2, 0, 0, 0] > 0
    return ArrayFrames(frames, labels.astype(np.int64))


def network(**options):
    torch.manual_seed(0)
    return create_model(
        "spiking_tcn",
        num_classes=2,
        input_size=(1, 1),
        neuron="ternary_lif",
        options={"hidden": [16], "delays": [[0, 1, 2]], **options},
    )


def learn(model, data) -> None:
    train = TrainConfig(epochs=12, batch_size=16, precision="32", workers=0)
    fit(model, data, optimiser=OptimiserConfig(name="adam", lr=0.02), train=train, quiet=True)


def test_signed_frames_keep_their_sign() -> None:
    frames = alternation().frames
    x = as_input(frames)
    assert x.dtype == torch.float32 and torch.equal(x, torch.from_numpy(frames).transpose(0, 1).float())


def test_labels_by_step_are_learned_and_measured_over_labelled_steps() -> None:
    data, model = alternation(), network()
    learn(model, data)
    found = evaluate(model, data)
    logits = model(as_input(data.frames)).argmax(-1).T.numpy()
    labelled = data.labels >= 0
    assert found.accuracy == pytest.approx((logits == data.labels)[labelled].mean())
    assert found.accuracy > 0.95 and found.accuracy_at == []
    assert np.sum(found.confusion) == labelled.sum()
    assert np.trace(found.confusion) == (logits == data.labels)[labelled].sum()
    assert 0 < found.rates["features.neuron1"] <= 1


def test_what_cannot_be_known_is_not() -> None:
    """Without the delay of two steps, and with neurons that forget at once, the label is a coin."""
    data, model = alternation(), network(delays=[[0]])
    for neuron in model.neurons().values():
        neuron.config = neuron.config.model_copy(update={"tau": 1.0})
    learn(model, data)
    assert evaluate(model, data).accuracy < 0.7


def test_labels_out_of_range() -> None:
    data = alternation()
    data.labels[0, 5] = 2
    with pytest.raises(DataError, match="labels are -1 to 2"):
        fit(network(), data, CrossEntropy(), quiet=True)


@given(
    delays=st.lists(st.integers(-8, 8), min_size=2, max_size=2),
    widths=st.lists(st.integers(0, 9), min_size=2, max_size=2),
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2),
)
@settings(max_examples=50)
def test_shift_and_masks_are_those_of_a_loop(delays, widths, places) -> None:
    frames = np.random.default_rng(0).choice([-1, 1], size=(2, 6, 5, 1, 1)).astype(np.int8)
    moved = delayed(frames, np.array(delays))
    for n, delay in enumerate(delays):
        for t in range(6):
            assert np.array_equal(
                moved[n, t], frames[n, t - delay] if 0 <= t - delay < 6 else np.zeros((5, 1, 1))
            )
    for axis, size in ((1, 6), (2, 5)):
        masked = frames.copy()
        mask(masked.swapaxes(1, axis), np.stack([widths, places], 1))
        gone = (masked == 0).all(axis=(4, 3, 3 - axis))
        for n, (width, place) in enumerate(zip(widths, places, strict=True)):
            wide = min(width, size)
            assert gone[n].sum() == wide and (masked[n] == frames[n]).sum() == (size - wide) * (30 // size)
            first = int(place * (size - wide + 1))
            assert gone[n, first : first + wide].all()


def test_draws_reach_their_ends_and_go_with_their_rows() -> None:
    config = SequenceAugment(shift=3, steps=4, channels=2)
    drawn = draw_sequence(config, 4000, np.random.default_rng(0))
    assert set(drawn.delays.tolist()) == set(range(-3, 4))
    assert set(drawn.steps[:, 0].tolist()) == set(range(5)) and set(drawn.channels[:, 0].tolist()) == {
        0,
        1,
        2,
    }
    rows = np.array([5, 1])
    some = drawn.of(rows)
    assert np.array_equal(some.delays, drawn.delays[rows]) and np.array_equal(some.steps, drawn.steps[rows])
    state = np.random.default_rng(7)
    assert draw_sequence(SequenceAugment(), 9, state).delays is None
    assert state.random() == np.random.default_rng(7).random()  # nothing was taken


def test_bands_of_a_spectrogram_are_masked_as_channels_are() -> None:
    frames = np.ones((1, 4, 1, 6, 1), np.int8)
    draws = SequenceDraws(channels=np.array([[2, 0.99]]))
    assert augmented_sequence(frames, draws)[0, :, 0, :, 0].tolist() == [[1, 1, 1, 1, 0, 0]] * 4


@given(
    factor=st.floats(0.4, 2.5),
    move=st.integers(-6, 6),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=50)
def test_stretch_and_transpose_are_those_of_a_loop(factor, move, seed) -> None:
    """Of a spectrogram [T, 1, bands, 1], beside one that stays as it is."""
    frames = np.random.default_rng(seed).integers(-1, 2, size=(2, 7, 1, 5, 1)).astype(np.int8)
    draws = SequenceDraws(factors=np.array([factor, 1.0]), moves=np.array([move, 0]))
    found = augmented_sequence(frames.copy(), draws)
    assert found.dtype == np.int8 and np.array_equal(found[1], frames[1])
    for t in range(7):
        source = round(3 + (t - 3) / factor)
        for band in range(5):
            inside = 0 <= source < 7 and 0 <= band - move < 5
            assert found[0, t, 0, band, 0] == (frames[0, source, 0, band - move, 0] if inside else 0)


def test_drop_silences_its_share_of_values_and_keeps_the_others() -> None:
    frames = np.random.default_rng(0).choice([-1, 1], size=(3, 200, 1, 50, 1)).astype(np.int8)
    drops = np.array([[0.0, 5], [0.3, 7], [0.3, 8]])
    found = augmented_sequence(frames.copy(), SequenceDraws(drops=drops))
    assert np.array_equal(found[0], frames[0])
    gone = found == 0
    assert (
        np.array_equal(found[~gone], frames[~gone]) and np.abs(gone[1:].mean((1, 2, 3, 4)) - 0.3).max() < 0.02
    )
    assert not np.array_equal(gone[1], gone[2])


def test_draws_of_stretch_transpose_and_drop() -> None:
    config = SequenceAugment(stretch=0.25, transpose=2, drop=0.4)
    drawn = draw_sequence(config, 4000, np.random.default_rng(0))
    logs = np.log(drawn.factors) / np.log(1.25)
    assert abs(logs.mean()) < 0.05 and 0.99 < logs.max() <= 1 and -1 <= logs.min() < -0.99
    assert set(drawn.moves.tolist()) == set(range(-2, 3))
    assert 0.39 < drawn.drops[:, 0].max() <= 0.4 and len(set(drawn.drops[:, 1].tolist())) > 3990
    assert drawn.delays is None and drawn.steps is None and drawn.of(np.array([3])).moves.shape == (1,)


def test_a_recipe_quantises_from_the_first_epoch_on() -> None:
    recipe = parse_recipe(
        {
            "data": {"name": "digits-dvs"},
            "model": {
                "name": "spiking_mlp",
                "neuron": "qt_snn",
                "width": 0.25,
                "quantise": {"weights": {"name": "ternary"}, "edges": {"name": "ternary"}},
            },
        }
    )

    class Data:
        classes, sensor, input_unit, T = ("a", "b", "c"), (1, 1), 1.0, 4
        train = ArrayFrames(np.zeros((1, 4, 5, 1, 1), np.int8), np.zeros(1, np.int64))

    model = build_model(recipe, Data())
    for layer in (model.features.dense1, model.features.dense2, model.head.linear):
        assert len(layer.weight.unique()) == 3
    assert (
        build_model(
            recipe.model_copy(update={"model": recipe.model.model_copy(update={"quantise": None})}), Data()
        )
        .features.dense1.weight.unique()
        .numel()
        > 3
    )
