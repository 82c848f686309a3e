"""One file, one DVC stage: only these read params.yaml and know paths."""
