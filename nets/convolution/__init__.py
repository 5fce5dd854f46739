"""TODO nets/convolution."""
