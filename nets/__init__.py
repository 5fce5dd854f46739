"""Neural networks: Flax Linen modules and pure functions, arrays in, arrays out.

Each subject is a package: `from nets.recurrent import RNN, LSTMCell`. Read first: `recurrent` for
networks over time, `convolution` and `image` for networks over images. An installed copy is
imported as `unfold.nets`.
"""
