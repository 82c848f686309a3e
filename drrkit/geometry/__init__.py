"""Cameras and frames: arrays only, the ground floor."""
