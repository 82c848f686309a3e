"""Architectures, apart from how they learn."""
