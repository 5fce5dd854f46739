"""Language models and word vectors: n-grams, feed-forward and recurrent networks, skip-gram.

Read first: `recurrent_lm` (LanguageModel, with full, sampled or adaptive softmax); `kneser_ney` is
the count-based baseline, `backoff` its form in ARPA files, and `neural_ngram` the feed-forward
network. `adaptive_softmax`, `sampled_softmax` and `huffman` make large vocabularies cheaper,
`neural_cache` adapts a trained model to the text it reads, and `skipgram` learns word vectors.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
