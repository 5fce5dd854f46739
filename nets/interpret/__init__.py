"""TODO nets/interpret."""
