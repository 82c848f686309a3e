"""Where cases come from: procedural spines, real CTs of packages, renders of a cohort, pairs of a session."""
