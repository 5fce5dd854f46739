"""TODO nets/translation."""
