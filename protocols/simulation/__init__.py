"""Simulated acquisitions: everything made here is called simulated wherever it is written."""
