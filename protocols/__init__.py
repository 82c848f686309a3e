"""From a C-arm session to calibrated real/synthetic pairs."""
