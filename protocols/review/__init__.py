"""The review page: one HTML file with which a person checks every pair by eye."""
