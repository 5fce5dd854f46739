"""Experiments with networks of dense layers.

`reconstruction` has the task of an autoencoder and `stages` the pretraining of its layers. `codes`
applies a trained autoencoder to a set, `linear` has principal components and linear classifiers,
`features` is a mode that compares both, and `pictures` has the figures.
"""
