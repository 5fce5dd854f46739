"""Language models and word vectors: what char_lm, word_lm, ngram_lm and word2vec share.

Read task.py first: settings and the task of predicting the next symbol. presets.py has published
models; generation.py, calibration.py, dynamic.py, cache.py and units.py are modes; vectors.py and
word_plane.py serve word2vec.
"""
