"""What training makes small: soft Dice and cross-entropy over the voxels of a grid."""

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from drrkit.errors import InputError
from reconstruction.learning.settings import LossSettings

# Voxels added to both sides of a Dice, so that an empty class is no 0 / 0.
SMOOTH_VOXELS = 1.0


def segmentation_loss(
    logits: Float[Tensor, "b c z y x"], classes: UInt8[Tensor, "b z y x"], weights: LossSettings
) -> Float32[Tensor, ""]:
    """Return the weighted sum of ``1 - Dice`` and cross-entropy.

    Every term is a mean over examples, so that processes with a part of the batch each average to the same gradient.
    Dice after Milletari et al. 2016 (V-Net), with plain sums below the line.

    Args:
        logits: Of every class; class 0 is background.
        classes: The truth.
        weights: Of the terms.

    Raises:
        InputError: Shapes that do not belong together.
    """
    if logits.shape[2:] != classes.shape[1:] or logits.shape[0] != classes.shape[0]:
        raise InputError("loss", f"logits {tuple(logits.shape)}, classes {tuple(classes.shape)}", "the same grid")
    count = logits.shape[1]
    # (B, C, N); the only arrays as large as the logits are these two and their gradients.
    log_probabilities = logits.float().flatten(2).log_softmax(1)
    probabilities = log_probabilities.exp()
    truth = classes.flatten(1).long()

    log_of_truth = log_probabilities.gather(1, truth[:, None])[:, 0]
    voxel_weights = torch.where(truth == 0, weights.background, 1.0)
    cross_entropy = -((log_of_truth * voxel_weights).sum(1) / voxel_weights.sum(1)).mean()

    # (B, C - 1): what a class other than background holds in the prediction, in the truth, and in both.
    of_truth = log_of_truth.exp()
    predicted = probabilities[:, 1:].sum(2)
    holds = [truth == number for number in range(1, count)]
    true = torch.stack([voxels.sum(1) for voxels in holds], 1).float()
    shared = torch.stack([(of_truth * voxels).sum(1) for voxels in holds], 1)

    present = (true > 0).float()
    per_class = 1 - _dice(shared, predicted, true)
    dice_classes = ((per_class * present).sum(1) / present.sum(1).clamp(min=1)).mean()
    # In the union a voxel of L2 that is taken for L1 is no fault.
    bone = 1 - probabilities[:, 0]
    shared_bone = (bone * (truth > 0)).sum(1)
    dice_union = (1 - _dice(shared_bone, bone.sum(1), true.sum(1))).mean()

    # Which level a voxel of bone is of, whether it is taken for bone or not. Few voxels are bone: in the cross-entropy
    # over all voxels this question has hardly a voice, and levels are learned late.
    inside = truth > 0
    of_level = torch.where(inside, log_probabilities[:, 1:].logsumexp(1) - log_of_truth, 0.0)
    levels = (of_level.sum(1) / inside.sum(1).clamp(min=1)).mean()

    return (
        weights.dice_classes * dice_classes
        + weights.dice_union * dice_union
        + weights.cross_entropy * cross_entropy
        + weights.levels * levels
    )


def _dice(shared: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    return (2 * shared + SMOOTH_VOXELS) / (predicted + true + SMOOTH_VOXELS)
