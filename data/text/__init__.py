"""Text corpora, their vocabularies, and the batches of language models and word vectors.

Read first: `corpus` (files and characters) and `words` (sentences and word vocabularies).
`characters` has a corpus as ids, in a file if it is long. `streams` cuts a text into windows for
truncated backpropagation through time, `ngrams` into n-grams and `skipgram` into blocks for word
vectors. `vocabulary` and `subwords` have the vocabularies of translation. `vectors` reads and
writes word vectors, `analogies` answers questions with them, and `word_tests` reads their published
tests.
`line_files` reads files of one example per line; `sources` reads texts from tables and prepared
datasets.
"""
