"""Experiments with networks of dense layers.

`reconstruction` has the task of an autoencoder, `stages` the pretraining of its layers, `codes` what
a trained one makes of a set, `linear` principal components and linear classifiers to compare with,
`features` a mode that does so, and `pictures` the figures.
"""
