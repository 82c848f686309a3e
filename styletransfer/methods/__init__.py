"""How translators learn: one file a method."""
