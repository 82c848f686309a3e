"""One file, one stage of dvc.yaml; only these read params.yaml and know paths."""
