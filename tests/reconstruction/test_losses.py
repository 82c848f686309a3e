"""The loss against a plain float64 form, its best and worst values, and what each weight does."""

import pytest
import torch
from torch.nn import functional

from drrkit.errors import InputError
from reconstruction.learning.losses import segmentation_loss
from reconstruction.learning.settings import LossSettings


def weights(dice_classes=0.0, dice_union=0.0, cross_entropy=0.0, background=1.0, levels=0.0):
    return LossSettings(
        dice_classes=dice_classes,
        dice_union=dice_union,
        cross_entropy=cross_entropy,
        background=background,
        levels=levels,
    )


def random_case(classes=4, batch=2, shape=(5, 6, 7)):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(batch, classes, *shape, generator=generator)
    truth = torch.randint(0, classes, (batch, *shape), generator=generator).to(torch.uint8)
    return logits, truth


def certain(truth, classes, margin=30.0):
    return functional.one_hot(truth.long(), classes).movedim(-1, 1).float() * margin


def plain(logits, truth, of):
    """The same from one-hot arrays, example by example."""
    total = 0.0
    for example, labels in zip(logits.double(), truth.long(), strict=True):
        probabilities = example.softmax(0)
        hot = functional.one_hot(labels, len(example)).movedim(-1, 0)
        dice = [
            (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            for p, t in zip(probabilities[1:], hot[1:], strict=True)
            if t.sum() > 0
        ]
        bone, true = 1 - probabilities[0], labels > 0
        union = (2 * (bone * true).sum() + 1) / (bone.sum() + true.sum() + 1)
        by_class = torch.tensor([of.background] + [1.0] * (len(example) - 1), dtype=torch.float64)
        total += of.dice_classes * (1 - torch.stack(dice).mean()) + of.dice_union * (1 - union)
        total += of.cross_entropy * functional.cross_entropy(example[None], labels[None], by_class)
        among_levels = example[1:].movedim(0, -1)[true]
        total += of.levels * functional.cross_entropy(among_levels, labels[true] - 1)
    return total / len(logits)


@pytest.mark.parametrize(
    "of",
    [
        weights(1),
        weights(0, 1),
        weights(0, 0, 1),
        weights(0, 0, 1, 0.2),
        weights(levels=1),
        weights(0.5, 2, 3, 0.7, 0.4),
    ],
)
def test_it_is_what_the_plain_form_says(of):
    logits, truth = random_case()
    truth[0][truth[0] == 2] = 0  # absent from one example
    assert float(segmentation_loss(logits, truth, of)) == pytest.approx(float(plain(logits, truth, of)), rel=1e-5)


def test_its_gradient_is_that_of_the_plain_form():
    logits, truth = random_case()
    of = weights(0.5, 2, 3, 0.7, 0.4)
    one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    segmentation_loss(one, truth, of).backward()
    plain(other, truth, of).backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_the_truth_costs_nothing_and_its_opposite_much():
    _, truth = random_case(2)
    of = weights(1, 1, 1)
    assert float(segmentation_loss(certain(truth, 2), truth, of)) < 1e-5
    assert float(segmentation_loss(certain(1 - truth, 2), truth, of)) > 25


def test_a_wrong_level_is_a_fault_of_the_class_and_none_of_the_union():
    _, truth = random_case(3)
    swapped = torch.tensor([0, 2, 1], dtype=torch.uint8)[truth.long()]
    assert float(segmentation_loss(certain(swapped, 3), truth, weights(0, 1))) < 1e-5
    assert float(segmentation_loss(certain(swapped, 3), truth, weights(1))) > 0.9
    assert float(segmentation_loss(certain(swapped, 3), truth, weights(levels=1))) > 25


def test_bone_that_is_missed_is_no_fault_of_its_level():
    _, truth = random_case(3)
    missed = certain(truth, 3)
    missed[:, 0] += 60.0
    assert float(segmentation_loss(missed, truth, weights(levels=1))) < 1e-5


def test_an_empty_grid_gives_a_number_and_punishes_bone():
    truth = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    of = weights(1, 1, 1, levels=1)
    assert float(segmentation_loss(certain(truth, 3), truth, of)) < 1e-5
    assert float(segmentation_loss(certain(truth + 1, 3), truth, of)) > 10


def test_half_batches_average_to_the_whole():
    logits, truth = random_case(batch=4)
    of = weights(1, 1, 1, 0.3)
    halves = [segmentation_loss(logits[part], truth[part], of) for part in (slice(0, 2), slice(2, 4))]
    assert float(sum(halves) / 2) == pytest.approx(float(segmentation_loss(logits, truth, of)), rel=1e-6)


def test_another_grid_is_refused():
    logits, truth = random_case()
    with pytest.raises(InputError, match="same grid"):
        segmentation_loss(logits, truth[:, :-1], weights(1))
