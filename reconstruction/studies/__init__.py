"""Studies of what a reconstruction depends on: shots and their angles, errors, anatomy, and paired donors."""
