"""Boxes, assignment, loss, decoding and training of a detector."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.detection import (
    BoxSamples,
    Checkpoints,
    DecodeConfig,
    DetectionLoss,
    DetectionModel,
    Detections,
    HeadConfig,
    Predictions,
    assign,
    average_precision,
    box_samples,
    decode,
    detect,
    iou,
    nms,
    train_detector,
)
from rheobase.detection.boxes import giou
from rheobase.detection.head import make_grid
from rheobase.detection.loss import focal_loss
from rheobase.errors import DataError, RecipeError
from rheobase.models import create_model, features_only
from rheobase.training import ArrayFrames, AugmentConfig, Callback, OptimiserConfig, TrainConfig

SIZE = (32, 32)
corners = st.lists(st.integers(0, 20), min_size=4, max_size=4)


def detector(name="vgg_small", num_classes=2, **options):
    torch.manual_seed(0)
    model = create_model(name, num_classes=2, input_size=SIZE, width=0.25, T=2)
    return DetectionModel(features_only(model), num_classes, HeadConfig(width=16, depth=1, **options))


def squares(count=24, seed=0):
    """Bright squares of two kinds, ON and OFF, one a recording: nothing but the polarity tells the class."""
    rng = np.random.default_rng(seed)
    frames = rng.poisson(0.02, (count, 2, 2, *SIZE)).astype(np.uint8)
    labels = np.full((count, 2, 5), 0, np.float32)
    labels[:, 1, 0] = -1
    for i in range(count):
        side, kind = int(rng.integers(6, 12)), i % 2
        x, y = rng.integers(0, 32 - side, 2)
        frames[i, :, kind, y : y + side, x : x + side] = 2
        labels[i, 0] = [kind, x, y, x + side, y + side]
    return BoxSamples(frames, labels)


def box(four):
    x, y, w, h = four
    return torch.tensor([x, y, x + w + 1, y + h + 1], dtype=torch.float32)


@given(corners, corners)
@settings(max_examples=60)
def test_iou_counts_pixels_and_giou_lies_below(a, b):
    one, other = box(a), box(b)
    cells = torch.arange(50) + 0.5
    x, y = torch.meshgrid(cells, cells, indexing="xy")
    masks = [(x > c[0]) & (x < c[2]) & (y > c[1]) & (y < c[3]) for c in (one, other)]
    both, either = (masks[0] & masks[1]).sum(), (masks[0] | masks[1]).sum()
    assert float(iou(one, other)) == pytest.approx(float(both / either))
    assert -1 <= float(giou(one, other)) <= float(iou(one, other)) + 1e-6
    assert float(giou(one, one)) == pytest.approx(1)


def test_giou_by_hand():
    a, b = torch.tensor([0.0, 0, 1, 1]), torch.tensor([3.0, 0, 4, 1])
    assert float(giou(a, b)) == pytest.approx(-0.5)  # hull 4, union 2


@given(st.lists(corners, min_size=1, max_size=12), st.floats(0.1, 0.9))
@settings(max_examples=50)
def test_nms_keeps_a_maximal_set_without_clashes(raw, threshold):
    boxes = torch.stack([box(each) for each in raw])
    scores = torch.rand(len(raw), generator=torch.Generator().manual_seed(len(raw)))
    kept = nms(boxes, scores, threshold).tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    for i in range(len(raw)):
        clashes = [
            j for j in kept if j != i and scores[j] > scores[i] and iou(boxes[i], boxes[j]) > threshold
        ]
        assert (i in kept) == (not clashes)


def test_grid_by_hand():
    grid = make_grid([(1, 2), (1, 1)], [4, 8])
    assert grid.points.tolist() == [[2, 2], [6, 2], [4, 4]] and grid.strides.tolist() == [4, 4, 8]


def test_assignment_by_hand():
    grid = make_grid([(8, 8), (4, 4)], [4, 8])
    labels = torch.tensor([[[1, 8, 8, 20, 20], [0, 0, 0, 32, 32], [-1, 0, 0, 0, 0]]], dtype=torch.float32)
    found = assign(grid, labels)
    fine, coarse = found.classes[0, :64].view(8, 8), found.classes[0, 64:].view(4, 4)
    # half of 12 is at most 2 * 4: stride 4, cells with middles (10, 14, 18) within 6 of 14
    assert fine[2:5, 2:5].eq(1).all() and fine.eq(1).sum() == 9 and fine.ge(0).sum() == 9
    # half of 32 is more: stride 8, middles 4, 12, 20, 28 within 12 of 16
    assert coarse.eq(0).all()
    middle = found.centreness[0, :64].view(8, 8)
    assert middle[3, 3] == 1 and middle[2, 3] == pytest.approx((2 / 10) ** 0.5)
    assert found.boxes[0, 3 * 8 + 3].tolist() == [8, 8, 20, 20]


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(4.1, 12), st.floats(4.1, 12)),
        min_size=1,
        max_size=1,
    )
)
@settings(max_examples=50)
def test_every_box_as_large_as_a_cell_has_one(raw):
    (x, y, w, h), grid = raw[0], make_grid([(8, 8)], [4])
    found = assign(grid, torch.tensor([[[0, x, y, x + w, y + h]]]))
    taken = found.positive[0]
    assert taken.any()
    points = grid.points[taken]
    assert (points[:, 0] > x).all() and (points[:, 0] < x + w).all() and (points[:, 1] > y).all()
    assert (found.centreness[0][taken] > 0).all() and (found.centreness[0][~taken] == 0).all()


def test_a_cell_within_two_boxes_takes_the_smaller():
    grid = make_grid([(8, 8)], [4])
    labels = torch.tensor([[[0, 0, 0, 12, 12], [1, 2, 2, 10, 10]]], dtype=torch.float32)
    assert assign(grid, labels).classes[0, 9] == 1  # (6, 6)
    assert assign(grid, labels.flip(1)).classes[0, 9] == 1


def test_focal_loss_by_hand():
    logits, target = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([1.0, 0.0, 1.0])
    p = 1 / (1 + np.exp(-2))
    expected = [0.25 * 0.25 * np.log(2), 0.75 * 0.25 * np.log(2), -0.25 * (1 - p) ** 2 * np.log(p)]
    np.testing.assert_allclose(focal_loss(logits, target, 0.25, 2.0), expected, rtol=1e-5)


def told(labels, certainty=8.0):
    """Predictions that say what the labels say."""
    grid = make_grid([(8, 8), (4, 4)], [4, 8])
    targets = assign(grid, labels)
    logits = torch.full((len(labels), len(grid.strides), 2), -certainty)
    logits[targets.positive] += 2 * certainty * torch.eye(2)[targets.classes[targets.positive]]
    centre = torch.logit(targets.centreness.clamp(1e-4, 1 - 1e-4))
    return Predictions(logits, targets.boxes.clone(), centre, grid)


def test_loss_is_least_where_all_is_right_and_a_mean_over_samples():
    labels = torch.from_numpy(squares(6).labels)
    right, objective = told(labels), DetectionLoss()
    found = objective(right, labels)
    assert found.parts["focal"] < 1e-2 and found.parts["box"] == pytest.approx(0, abs=1e-5)
    moved = Predictions(right.logits, right.boxes + 2, right.centreness, right.grid)
    assert objective(moved, labels).parts["box"] > 0.2
    wrong = Predictions(right.logits.flip(-1), right.boxes, right.centreness, right.grid)
    assert objective(wrong, labels).parts["focal"] > 1
    one_by_one = [
        objective(
            Predictions(
                wrong.logits[i : i + 1], moved.boxes[i : i + 1], right.centreness[i : i + 1], right.grid
            ),
            labels[i : i + 1],
        )
        for i in range(6)
    ]
    whole = objective(Predictions(wrong.logits, moved.boxes, right.centreness, right.grid), labels)
    torch.testing.assert_close(whole.total, torch.stack([each.total for each in one_by_one]).mean())


def test_recordings_without_objects_have_a_loss_and_gradients():
    labels = torch.full((2, 3, 5), -1.0)
    model = detector()
    found = DetectionLoss()(model(torch.rand(2, 2, 2, *SIZE)), labels)
    found.total.backward()
    assert found.parts["box"] == 0 and found.total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_decoding_finds_what_the_labels_say():
    labels = torch.from_numpy(squares(6).labels)
    for own, found in zip(labels, decode(told(labels), SIZE), strict=True):
        assert len(found) == 1 and found.classes.tolist() == [int(own[0, 0])]
        torch.testing.assert_close(found.boxes[0], own[0, 1:])


def test_decoding_keeps_classes_apart_and_obeys_its_limits():
    labels = torch.tensor([[[0, 8, 8, 20, 20], [1, 9, 9, 21, 21]]], dtype=torch.float32)
    grid = make_grid([(2, 1)], [4])
    both = Predictions(
        torch.tensor([[[3.0, -9], [-9, 2.0]]]), labels[..., 1:], torch.tensor([[5.0, 5]]), grid
    )
    assert decode(both, SIZE)[0].classes.tolist() == [0, 1]  # they overlap, and are of two classes
    same = Predictions(
        torch.tensor([[[3.0, -9], [2.0, -9]]]), labels[..., 1:], torch.tensor([[5.0, 5]]), grid
    )
    assert decode(same, SIZE)[0].classes.tolist() == [0]
    assert len(decode(both, SIZE, DecodeConfig(most=1))[0]) == 1
    assert len(decode(both, SIZE, DecodeConfig(candidates=1))[0]) == 1
    assert len(decode(both, SIZE, DecodeConfig(score=0.99))[0]) == 0
    assert decode(both, (10, 16))[0].boxes.tolist() == [[8, 8, 16, 10], [9, 9, 16, 10]]


@pytest.mark.parametrize("name", ["vgg_small", "resnet20", "snn_vit_small", "bestformer_small", "sdt_small"])
def test_shapes_and_gradients(name):
    model = detector(name)
    found = model(torch.poisson(torch.full((2, 3, 2, *SIZE), 0.7)))
    cells = sum((32 // stride) ** 2 for stride in model.strides)
    assert found.logits.shape == (3, cells, 2) and found.boxes.shape == (3, cells, 4)
    assert found.centreness.shape == (3, cells) and (found.boxes[..., 2:] > found.boxes[..., :2]).all()
    (found.logits.sum() + found.boxes.sum()).backward()
    assert next(model.backbone.parameters()).grad is not None
    assert all(name.startswith(("backbone.", "levels.")) for name in model.neurons())


def test_strides_of_the_head():
    assert detector().strides == [4, 8] and detector(strides=(2,)).strides == [2]
    with pytest.raises(RecipeError, match=r"stride 16; the backbone has \[1, 2, 4, 8\]"):
        detector(strides=(16,))


class StopAfter(Callback):
    def __init__(self, epochs):
        self.epochs = epochs

    def epoch_ended(self, state):
        if state.epoch == self.epochs:
            raise KeyboardInterrupt


FAST = OptimiserConfig(name="adamw", lr=0.01)
SHORT = TrainConfig(epochs=15, batch_size=8, precision="32")


@pytest.fixture(scope="module")
def trained():
    model = detector()
    return model, train_detector(model, squares(64), optimiser=FAST, train=SHORT)


def hits(model, samples):
    """Share of objects that the best detection of its recording finds: right class, IoU of a half."""
    found = detect(model, torch.from_numpy(samples.frames).float().transpose(0, 1))
    good = [
        len(one) > 0
        and int(own[0, 0]) == int(one.classes[0])
        and float(iou(one.boxes[0], torch.from_numpy(own[0, 1:]))) >= 0.5
        for one, own in zip(found, samples.labels, strict=True)
    ]
    return float(np.mean(good))


def test_training_finds_squares(trained):
    model, history = trained
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert {"train_focal", "train_box", "train_centre"} <= history[0].keys()
    unseen = squares(32, seed=1)
    assert hits(detector(), unseen) < 0.2
    assert hits(model, unseen) > 0.4


def test_resumed_run_is_the_whole_one(tmp_path):
    data, settings = squares(), TrainConfig(epochs=3, batch_size=8, precision="32")
    whole, cut = detector(), detector()
    history = train_detector(whole, data, train=settings)
    with pytest.raises(KeyboardInterrupt):
        train_detector(cut, data, train=settings, callbacks=[Checkpoints(tmp_path), StopAfter(2)])
    again = detector()
    resumed = train_detector(again, data, train=settings, callbacks=[Checkpoints(tmp_path)])
    assert [row["train_loss"] for row in resumed] == [row["train_loss"] for row in history]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_refusals():
    data = squares(4)
    with pytest.raises(DataError, match="frames with boxes"):
        box_samples(ArrayFrames(data.frames, np.zeros(4, np.int64)))
    with pytest.raises(DataError, match="classes up to 1; a model of 1 classes"):
        train_detector(detector(num_classes=1), data)
    with pytest.raises(RecipeError, match=r"train.recompute = True is not served"):
        train_detector(detector(), data, train=TrainConfig(recompute=True))
    with pytest.raises(RecipeError, match=r"augment.flip = True would move"):
        train_detector(detector(), data, augment=AugmentConfig(flip=True))
    train_detector(detector(), data, augment=AugmentConfig(drop=0.3), train=TrainConfig(epochs=1))


# Average precision: by hand, and against a plain reference.


def labels_of(*recordings):
    rows = np.full((len(recordings), 3, 5), -1.0, np.float32)
    for i, boxes in enumerate(recordings):
        rows[i, : len(boxes)] = boxes
    return rows


def found_of(*rows):
    """Rows of class, score, box."""
    values = torch.tensor([row[2:] for row in rows], dtype=torch.float32).view(-1, 4)
    return Detections(
        values,
        torch.tensor([row[1] for row in rows]),
        torch.tensor([row[0] for row in rows], dtype=torch.int64),
    )


def plain_ap(found, labels, kind, threshold):
    """Precision at 101 levels of recall, interpolated; written out. NaN where the class does not occur."""
    total = int((labels[..., 0] == kind).sum())
    ranked = sorted(
        (
            (float(s), i, b)
            for i, one in enumerate(found)
            for s, b, k in zip(one.scores, one.boxes, one.classes, strict=True)
            if k == kind
        ),
        key=lambda row: -row[0],
    )
    taken, right, curve = set(), 0, []
    for rank, (_, i, b) in enumerate(ranked, start=1):
        free = [
            (float(iou(b, torch.from_numpy(row[1:]))), j)
            for j, row in enumerate(labels[i])
            if row[0] == kind and (i, j) not in taken
        ]
        best = max(free, default=(0.0, -1))
        if best[0] >= threshold:
            taken.add((i, best[1]))
            right += 1
        curve.append((right / max(total, 1), right / rank))
    levels = np.linspace(0, 1, 101)
    return (
        np.mean([max((p for r, p in curve if r >= level - 1e-9), default=0.0) for level in levels])
        if total
        else np.nan
    )


def test_average_precision_by_hand():
    pytest.importorskip("pycocotools")
    labels = labels_of([[0, 0, 0, 10, 10]], [[0, 0, 0, 10, 10], [1, 20, 20, 30, 30]])
    perfect = [found_of((0, 0.9, 0, 0, 10, 10)), found_of((0, 0.8, 0, 0, 10, 10), (1, 0.7, 20, 20, 30, 30))]
    judged = average_precision(perfect, labels, 3)
    assert (judged.ap, judged.ap50, judged.ap75) == pytest.approx((1, 1, 1))
    assert judged.by_class[:2] == pytest.approx((1, 1)) and np.isnan(judged.by_class[2])
    nothing = average_precision([found_of(), found_of()], labels, 3)
    assert (nothing.ap, nothing.ap50) == (0, 0)
    # The second best is wrong: precision 1 up to recall 1/2 (51 of 101 levels), then 2/3 (50 levels).
    late = [found_of((0, 0.9, 0, 0, 10, 10)), found_of((0, 0.8, 20, 0, 30, 10), (0, 0.7, 0, 0, 10, 10))]
    assert average_precision(late, labels[:, :1], 1).ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    # IoU 0.61: right at .50, .55 and .60 of the ten thresholds.
    loose = [found_of((0, 0.9, 0, 0, 10, 6.1)), found_of((0, 0.8, 0, 0, 10, 6.1))]
    judged = average_precision(loose, labels[:, :1], 1)
    assert (judged.ap50, judged.ap75) == pytest.approx((1, 0)) and judged.ap == pytest.approx(0.3)


def test_average_precision_agrees_with_a_plain_one():
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(0)
    labels, found = [], []
    for _ in range(12):
        corner = rng.uniform(0, 20, (3, 2))
        boxes = np.concatenate([rng.integers(0, 2, (3, 1)), corner, corner + rng.uniform(5, 12, (3, 2))], 1)
        labels.append(boxes.tolist()[: rng.integers(1, 4)])
        near = boxes[:, 1:] + rng.normal(0, 1, (3, 4))
        found.append(
            found_of(
                *((int(k), float(rng.random()), *b) for k, b in zip(boxes[:, 0], near.tolist(), strict=True))
            )
        )
    truth = labels_of(*labels)
    judged = average_precision(found, truth, 2)
    for at, threshold in ((judged.ap50, 0.5), (judged.ap75, 0.75)):
        plain = [plain_ap(found, truth, kind, threshold) for kind in range(2)]
        assert 0.05 < np.mean(plain) < 0.95
        assert at == pytest.approx(np.mean(plain), abs=1e-6)


def test_missing_library_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.coco", None)
    with pytest.raises(RecipeError, match=r"pip install rheobase\[detection\]"):
        average_precision([], np.zeros((0, 1, 5)), 1)


def test_other_number_of_recordings():
    pytest.importorskip("pycocotools")
    with pytest.raises(DataError, match="1 recordings were searched, and there are boxes for 2"):
        average_precision([found_of()], labels_of([[0, 0, 0, 9, 9]], [[0, 0, 0, 9, 9]]), 1)
