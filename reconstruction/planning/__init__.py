"""View planning: which shots of those that a C-arm can reach promise the best reconstruction, at what dose and time."""
