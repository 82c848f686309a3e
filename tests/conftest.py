"""Shapes and types of public signatures are checked in the test run, and only there."""

from jaxtyping import install_import_hook

# Not the modules with numba kernels: numba must see the plain functions.
install_import_hook(
    ["drrkit.geometry", "drrkit.volume", "drrkit.radiograph", "drrkit.metrics", "drrkit.dataset", "drrkit.io"],
    "typecheck.check",
)
