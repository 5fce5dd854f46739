"""Calls of functions and networks of nets with any number of rows, for the table in `surface`."""

import jax
import jax.numpy as jnp
import numpy as np

from nets import (
    decoding,
    feedforward,
    image,
    language,
    recurrent,
    sentence,
    translation,
)

KEY = jax.random.key(0)
T, D, V = 5, 3, 7  # steps, features, symbols
DETECTOR = image.ConvFeatures((2, 2, 2)), 3


def floats(*shape):
    return jnp.asarray(np.linspace(-1, 1, int(np.prod(shape))).reshape(shape), jnp.float32)


def ints(*shape, top=V):
    return jnp.asarray(1 + np.arange(np.prod(shape)).reshape(shape) % (top - 1), jnp.int32)


def lengths(rows):
    return jnp.asarray(1 + np.arange(rows) % T, jnp.int32)


def trained(model, *inputs, **options):
    """Outputs and the gradient of a network."""
    rngs = {"params": KEY, "dropout": KEY}
    variables = model.init(rngs, *inputs, **options)

    def loss(variables):
        outputs = model.apply(variables, *inputs, **options, rngs=rngs)
        leaves = [leaf for leaf in jax.tree.leaves(outputs) if leaf.dtype == jnp.float32]
        return sum(jnp.vdot(leaf, leaf) for leaf in leaves), outputs

    return jax.grad(loss, has_aux=True)(variables)


def with_gradient(function, x, *rest):
    """Outputs and the gradient with respect to x of a function of arrays."""

    def loss(x):
        outputs = function(x, *rest)
        return sum(
            leaf.sum() for leaf in jax.tree.leaves(outputs) if leaf.dtype == x.dtype
        ), outputs

    return jax.grad(loss, has_aux=True)(x)


def bigram(rows, attention=False):
    table = floats(V, V)

    def step_fn(table, tokens, carry):
        weights = (jax.nn.softmax(floats(1, 4)).repeat(len(tokens), 0),) if attention else ()
        return table[tokens], carry + jnp.float32(1), *weights

    return decoding.StepModel(step_fn, table, floats(rows, 2), 1, 0)


def searched(rows, **options):
    return decoding.beam_search(bigram(rows), beam_size=2, max_length=4, **options)


def covered(rows):
    score = decoding.Score(normalize="gnmt", length_penalty=0.6, coverage_penalty=0.2)
    model = bigram(rows, attention=True)
    limits = decoding.Limits(no_repeat_ngram=2, min_length=1, banned=[2])
    return decoding.beam_search(
        model, beam_size=4, max_length=4, score=score, limits=limits, groups=2, diversity=0.5
    )


def pictures(rows, side=32, channels=1):
    return floats(rows, side, side, channels)


def boxes(rows):
    return jnp.tile(jnp.array([[[0, 4, 12, 30], [3, 3, 3, 9]]], jnp.float32), (rows, 1, 1))


def chain(rows):
    return sentence.Chain(floats(rows, T, V), floats(V, V), floats(V), floats(V))


def with_chain(function):
    return lambda rows: with_gradient(
        lambda e: function(chain(rows)._replace(emissions=e), rows), floats(rows, T, V)
    )


def labelled(function):
    return lambda rows: with_gradient(
        lambda logits: function(logits, lengths(rows), ints(rows, 2), ints(rows, top=2)),
        floats(rows, T, V),
    )


def encoder(characters=False):
    spelling = sentence.CharEncoder(9) if characters else None
    return sentence.SentenceEncoder(
        recurrent.DeepRecurrent(4, dropout=0.2), words=V, spelling=spelling
    )


def sentences(rows):
    return ints(rows, T), None, lengths(rows)


def multiway(rows):
    parts = {"a": translation.Encoder(V, 4, 4)}, {"b": translation.Decoder(V, 4, 4)}
    model = translation.MultiSeq2Seq(*parts, {"a-b": ("a", "b")})
    sources = ints(rows, T), lengths(rows)

    def run(module, inputs):
        return module("a-b", *sources, inputs)

    return model.init_with_output(KEY, ints(rows, T), method=run)


def attended(rows):
    attention = translation.Attention("additive", features=4, query_features=D)
    values, valid = floats(rows, T, 4), jnp.ones((rows, T), bool)

    def run(module, queries):
        return module(queries, module.read(values, valid))

    variables = attention.init(KEY, floats(rows, 2, D), method=run)
    return attention.apply(variables, floats(rows, 2, D), method=run)


def decoder(rows):
    model = translation.Seq2Seq(
        translation.Encoder(V, 4, 4, cell="lstm"),
        translation.Decoder(V, 4, 4, cell="lstm", input_feeding=True),
    )
    return trained(model, ints(rows, T), lengths(rows), ints(rows, T), train=True)


def recur(cell, **options):
    def run(rows):
        x, starts = floats(rows, T, D), ints(rows, T) > 3
        return trained(recurrent.RNN(cell(4), **options), x, lengths(rows), None, starts)

    return run


def cell_step(cell):
    return lambda rows: trained(cell(4), cell(4).initialize_carry(KEY, (rows, D)), floats(rows, D))


def machine():
    return feedforward.RBM(floats(D, 4), floats(4), floats(D))


def inside(function, *arguments):
    model = image.LeNet5()

    def run(rows):
        images = pictures(rows)
        return function(model, model.init(KEY, images), images, *arguments)

    return run


def cached(rows):
    del rows  # a cache belongs to one stream
    cache = language.NeuralCache.empty(5, 2)
    return cache.read(floats(3, 2), ints(3), floats(2))
