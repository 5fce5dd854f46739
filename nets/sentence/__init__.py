"""TODO nets/sentence."""
