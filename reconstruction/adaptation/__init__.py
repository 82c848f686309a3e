"""What other images than its own do to a network, and what helps."""
