"""TODO nets/decoding."""
