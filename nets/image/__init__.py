"""TODO nets/image."""
