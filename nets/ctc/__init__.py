"""TODO nets/ctc."""
