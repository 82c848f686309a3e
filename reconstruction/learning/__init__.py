"""From cases to weights: examples, loss, steps, resuming, transfer."""
