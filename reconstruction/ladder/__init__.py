"""The ladder of adaptation: what each step between source-only and the synthetic ceiling is worth, on unseen donors."""
