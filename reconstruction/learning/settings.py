"""How a network is trained, as params.yaml says it. Nothing heavy is imported, so that commands can check it fast."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from drrkit.learning.settings import Precision
from drrkit.parameters import Parameters


class LossSettings(Parameters):
    """Weights of the loss.

    Args:
        dice_classes: Weight of the mean Dice of the classes that are present.
        dice_union: Weight of the Dice of all classes together against the background.
        cross_entropy: Weight of the cross-entropy.
        background: Weight of a background voxel in the cross-entropy; a voxel of any other class weighs 1.
        levels: Weight of the cross-entropy among the classes without background, over the voxels of bone.
    """

    dice_classes: NonNegativeFloat
    dice_union: NonNegativeFloat
    cross_entropy: NonNegativeFloat
    background: PositiveFloat
    levels: NonNegativeFloat


class TrainSettings(Parameters):
    """How a network is trained.

    Args:
        steps: Steps of the optimizer.
        batch: Examples a step, of all processes together.
        learning_rate: Highest of AdamW, after the warm-up; it falls as a cosine to 0.
        kernel_learning_rate: The same of Muon, which moves the kernels of convolutions; None leaves them to AdamW.
        warmup_steps: Steps of its straight rise.
        weight_decay: Of matrices and kernels; vectors do not decay.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Of the moving average of the weights, which is what is saved; it rises to this value.
        losses: Weights of the loss.
        precision: ``32``, or ``bf16`` for bfloat16 products with float32 weights.
        channels_last: Keep kernels and volumes with channels last.
        processes: That share a step (DDP).
        prefetch: Batches that are made ahead, each in a thread; 0 makes them between steps.
        seed: Of the first weights and of whatever a step draws.
        log_every: Steps between rows of the log.
        validate_every: Steps between validations.
        checkpoint_every: Steps between states for resuming.
        patience: Stop after so many validations without a better score, and keep the best weights; None trains to
            the end and keeps the last.
    """

    steps: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat
    kernel_learning_rate: PositiveFloat | None
    warmup_steps: NonNegativeInt
    weight_decay: NonNegativeFloat
    gradient_clip: PositiveFloat
    ema_decay: float = Field(ge=0, lt=1)
    losses: LossSettings
    precision: Precision
    channels_last: bool
    processes: PositiveInt
    prefetch: NonNegativeInt
    seed: NonNegativeInt
    log_every: PositiveInt
    validate_every: PositiveInt
    checkpoint_every: PositiveInt
    patience: PositiveInt | None
