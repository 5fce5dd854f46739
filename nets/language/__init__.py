"""TODO nets/language."""
