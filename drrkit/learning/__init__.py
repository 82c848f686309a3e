"""Tools of learning that know no network and no image: optimizers, processes, states, logs, weights on disk."""
