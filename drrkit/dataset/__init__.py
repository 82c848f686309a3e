"""From a CT or a cohort to a folder of DRRs: what must be rendered, and the doing of it."""
