"""How a translator is trained, as params.yaml says it. Nothing heavy is imported: commands check it fast."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from drrkit.parameters import Parameters

Precision = Literal["32", "bf16"]
AugmentationName = Literal["none", "photometric"]


class OptimizerSettings(Parameters):
    """How weights move; every method uses the same for its generators, and its own rate for discriminators.

    Args:
        learning_rate: Highest of AdamW, after the warm-up; it falls as a cosine to 0.
        kernel_learning_rate: The same of Muon, which moves the kernels of convolutions; None leaves them to AdamW.
        discriminator_learning_rate: Highest of Adam, which moves discriminators.
        weight_decay: Of matrices and kernels; vectors do not decay.
        gradient_clip: Largest norm of a network's gradient.
        ema_decay: Of the moving average of the generator's weights, which is what translates; it rises to this value.
    """

    learning_rate: PositiveFloat
    kernel_learning_rate: PositiveFloat | None
    discriminator_learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    gradient_clip: PositiveFloat
    ema_decay: float = Field(ge=0, lt=1)


class SubsetSettings(Parameters):
    """How much of the train split is used; null for all of it.

    Args:
        donors: The first so many train donors, in the order of the set.
        pairs: So many pairs of each of these donors, spread evenly over its exposures.
    """

    donors: PositiveInt | None
    pairs: PositiveInt | None


class SamplingSettings(Parameters):
    """What a step looks at.

    Args:
        batch: Images a step, of all processes together.
        patch_px: (H, W) of the patches, multiples of 16, drawn anywhere; null for whole images (padded to such
            multiples), which must then have one size.
        mirror: Whether half of the examples are mirrored left to right; of a pair both are, so nothing moves apart.
        turn_deg: By how much examples are turned at most, both images of a pair alike.
        zoom: By which part they are made larger or smaller at most, both alike.
        augmentation: What is done to the pixels of the real image: ``none``, or ``photometric`` (another exposure,
            scatter, noise). It never moves a pixel.
    """

    batch: PositiveInt
    patch_px: tuple[PositiveInt, PositiveInt] | None
    mirror: bool
    turn_deg: float = Field(ge=0, le=180)
    zoom: float = Field(ge=0, lt=1)
    augmentation: AugmentationName


class TrainingSettings(Parameters):
    """The loop.

    Args:
        steps: Of the optimizers.
        warmup_steps: Of their rates' straight rise.
        settle_at: Part of the steps after which batch normalization keeps its statistics, as it will in use.
        precision: ``32``, or ``bf16`` for bfloat16 products with float32 weights.
        processes: That share a step (DDP).
        prefetch: Batches that are made ahead, each in a thread; 0 makes them between steps.
        seed: Of the first weights and of whatever a step draws.
        log_every: Steps between rows of the log.
        validate_every: Steps between validations, each with a grid of images; null for none but the last.
        validation_pairs: How many pairs of the validation donors are looked at.
        checkpoint_every: Steps between states for resuming.
    """

    steps: PositiveInt
    warmup_steps: NonNegativeInt
    settle_at: float = Field(gt=0, le=1)
    precision: Precision
    processes: PositiveInt
    prefetch: NonNegativeInt
    seed: NonNegativeInt
    log_every: PositiveInt
    validate_every: PositiveInt | None
    validation_pairs: PositiveInt
    checkpoint_every: PositiveInt


class TranslatorParameters(Parameters):
    """One translator: method, what it is told, what it sees, how it is trained.

    Args:
        method: Name in ``styletransfer.registry.TRANSLATORS``.
        settings: Of the method; its own strict model checks them.
        subset: How much of the train split it sees.
        sampling: What a step looks at.
        training: The loop.
        fold: Whose train donors, for the pipeline, which has a pair set for each fold; a command is told the set.
    """

    method: str
    settings: dict[str, Any]
    subset: SubsetSettings
    sampling: SamplingSettings
    training: TrainingSettings
    fold: str = "frozen"
