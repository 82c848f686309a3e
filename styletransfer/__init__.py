"""Real to synthetic image translation."""
