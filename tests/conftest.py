"""Shapes and types of public signatures are checked in the test run, and only there."""

from jaxtyping import install_import_hook

# Not the modules with numba kernels: numba must see the plain functions. Not those whose own checks of hand-written
# records are tested with wrong types either: the type checker would speak first.
install_import_hook(
    [
        "drrkit.geometry.rigid",
        "drrkit.geometry.camera",
        "drrkit.geometry.carm",
        "drrkit.geometry.convert",
        "drrkit.geometry.lint",
        "drrkit.volume",
        "drrkit.radiograph",
        "drrkit.metrics",
        "drrkit.dataset",
        "drrkit.figures",
        "drrkit.parameters",
        "drrkit.io.cameras",
        "drrkit.io.ct",
        "drrkit.io.labels",
        "drrkit.io.manifest",
        "drrkit.io.store",
        "drrkit.learning.checkpoint",
        "drrkit.learning.optimization",
        "drrkit.learning.training_log",
        "drrkit.learning.weights",
        "protocols.beads",
        "protocols.erase",
        "protocols.flatten",
        "protocols.linearize",
        "protocols.pairing",
        "protocols.pairs",
        "protocols.pictures",
        "protocols.undistort",
        "reconstruction.learning.augmentation",
        "reconstruction.learning.examples",
        "reconstruction.learning.lookup",
        "reconstruction.learning.viewchoice",
        "reconstruction.loading",
        "reconstruction.sets.adapters",
        "reconstruction.views",
    ],
    "typecheck.check",
)
