"""From calibrated views to labelled vertebrae."""
