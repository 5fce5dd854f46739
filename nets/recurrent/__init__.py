"""TODO nets/recurrent."""
