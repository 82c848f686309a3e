"""Where the grid goes: its center and orientation from the images alone."""
