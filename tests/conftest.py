"""Shapes and types of public signatures are checked in the test run, and only there."""

from jaxtyping import install_import_hook

# Not the modules with numba kernels: numba must see the plain functions.
install_import_hook(
    [
        "drrkit.geometry.rigid",
        "drrkit.geometry.camera",
        "drrkit.geometry.carm",
        "drrkit.volume",
        "drrkit.radiograph",
        "drrkit.dataset",
        "drrkit.io.store",
        "drrkit.io.manifest",
    ],
    "typecheck.check",
)
