"""The report: one self-contained page, and one summary, of what every stage of the pipeline found."""
