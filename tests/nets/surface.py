"""Every public function and network of nets, as a call with any number of rows.

SURFACE maps "room.name" to a function of the number of rows, whose result is only traced. A network
is initialised and applied, and its gradient is taken. None: the function reads values on the host,
or it is part of another one of the table.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nets import (
    convolution,
    ctc,
    decoding,
    feedforward,
    image,
    interpret,
    language,
    recurrent,
    sentence,
    translation,
)

KEY = jax.random.key(0)
T, D, V = 5, 3, 7  # steps, features, symbols

# classes without a computation of their own, tables of them, and numpy on the host
DATA = {
    "convolution": {"ReceptiveField", "Window", "output_size", "receptive_field"},
    "ctc": {"Alignment", "CTCBeam", "CTCLoss"},
    "decoding": {"BeamResult", "ExactResult", "GreedyResult", "Limits", "Normalize", "Score"}
    | {"StepFn", "StepModel"},
    "feedforward": {"ACTIVATIONS", "INITIALIZERS", "BooleanNetwork"},
    "image": {"Kernels", "digit_codes"},
    "interpret": {"ReceptiveFields", "TopPatches", "deconvnet_rule"},
    "language": {"HuffmanTree", "KneserNey", "fit_kneser_ney", "huffman_tree", "ngram_log_probs"}
    | {"ngram_table"},
    "recurrent": {"ALL_CELLS", "CELLS", "Cell", "LSTMCarry", "Layer", "Marks", "ParallelCell"}
    | {"exchange_z", "from_flax", "from_torch", "to_flax", "to_torch"},
    "sentence": {"Chain"},
    "translation": {"DecoderCarry", "Encoded", "Memory"},
}
ROOMS = {
    "convolution": convolution,
    "ctc": ctc,
    "decoding": decoding,
    "feedforward": feedforward,
    "image": image,
    "interpret": interpret,
    "language": language,
    "recurrent": recurrent,
    "sentence": sentence,
    "translation": translation,
}


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


SURFACE = {
    "convolution.Conv": lambda n: trained(convolution.Conv(6, (5, 5)), pictures(n)),
    "convolution.convolve": lambda n: with_gradient(
        lambda x: convolution.convolve(x, floats(5, 5, 1, 2), (1, 1), "SAME"), pictures(n)
    ),
    "convolution.convolve_depthwise": lambda n: with_gradient(
        lambda x: convolution.convolve_depthwise(x, floats(3, 3, 2), 2, ((0, 1), (0, 1))),
        floats(n, 8, 8, 2),
    ),
    "convolution.max_pool": lambda n: with_gradient(convolution.max_pool, pictures(n)),
    "convolution.TimeConvNet": lambda n: trained(
        convolution.TimeConvNet(convolution.TimeConvolutions((4, 4), 3), 2),
        floats(n, T, D),
        lengths(n),
    ),
    "convolution.TimeConvolutions": lambda n: trained(
        convolution.TimeConvolutions((4, 4), 3), floats(n, T, D), lengths(n)
    ),
    "convolution.evidence": lambda n: convolution.evidence(
        network := convolution.TimeConvNet(convolution.TimeConvolutions((4,), 3, 1), 2),
        network.init(KEY, floats(n, T, D), lengths(n)),
        floats(n, T, D),
        lengths(n),
        jnp.zeros(n, jnp.int32),
    ),
    "convolution.max_over_windows": lambda n: convolution.max_over_windows(
        floats(n, T, D), lengths(n), 2
    ),
    "convolution.pool_over_time": lambda n: convolution.pool_over_time(floats(n, T, D), lengths(n)),
    "ctc.Transcriber": lambda n: trained(
        ctc.Transcriber(recurrent.DeepRecurrent(4), V, (ctc.FrameStacking(2),)),
        floats(n, T, D),
        lengths(n),
    ),
    "ctc.BandConvolution": lambda n: trained(
        ctc.BandConvolution(4, 3, 2, 1), floats(n, T, 9), lengths(n)
    ),
    "ctc.FrameStacking": lambda n: ctc.FrameStacking(2).apply({}, floats(n, T, D), lengths(n)),
    "ctc.ctc_align": labelled(ctc.ctc_align),
    "ctc.ctc_greedy": lambda n: ctc.ctc_greedy(floats(n, T, V), lengths(n)),
    "ctc.ctc_loss": labelled(ctc.ctc_loss),
    "ctc.ctc_beam_search": lambda n: ctc.ctc_beam_search(
        floats(n, T, V), lengths(n), beam_size=3, language_model=bigram(n), length_bonus=0.5
    ),
    "ctc.rescore": lambda n: ctc.rescore(
        ctc.ctc_beam_search(floats(n, T, V), lengths(n), beam_size=3), floats(n, 3)
    ),
    "decoding.beam_search": lambda n: (searched(n), covered(n)),
    "decoding.exact_search": None,  # searches on the host, one row
    "decoding.greedy": lambda n: decoding.greedy(bigram(n), max_length=4),
    "decoding.keep_min_p": lambda n: decoding.keep_min_p(floats(n, V), 0.1),
    "decoding.keep_top_k": lambda n: decoding.keep_top_k(floats(n, V), 2),
    "decoding.keep_top_p": lambda n: decoding.keep_top_p(floats(n, V), 0.9),
    "decoding.sample": lambda n: decoding.sample(
        bigram(n), KEY, length=3, temperature=0.8, top_k=4, top_p=0.9, min_p=0.01
    ),
    "decoding.sample_steps": lambda n: list(decoding.sample_steps(bigram(n), KEY, length=2)),
    "decoding.ensemble": lambda n: decoding.greedy(
        decoding.ensemble([bigram(n), bigram(n)]), max_length=3
    ),
    "feedforward.MLP": lambda n: trained(feedforward.MLP((4, 4), 2), floats(n, D)),
    "feedforward.ConvolutionalAutoencoder": lambda n: trained(
        feedforward.ConvolutionalAutoencoder((8, 8, 1), (4,), 3), pictures(n, 8)
    ),
    "feedforward.DenseAutoencoder": lambda n: trained(
        feedforward.DenseAutoencoder((8, 8, 1), (4,), 3), pictures(n, 8)
    ),
    "feedforward.Perceptron": lambda n: trained(feedforward.Perceptron(), floats(n, D)),
    "feedforward.perceptron_criterion": lambda n: feedforward.perceptron_criterion(
        floats(n), floats(n)
    ),
    "feedforward.RBM": lambda n: machine().free_energy(floats(n, D)),
    "feedforward.contrastive_divergence": lambda n: feedforward.contrastive_divergence(
        machine(), floats(n, D), KEY
    ),
    "feedforward.boolean_network": lambda n: feedforward.boolean_network(
        np.array([[-1, 1], [1, 1]]), [1, -1]
    )(floats(n, 2)),
    "feedforward.maxout": lambda n: feedforward.maxout(floats(n, 6), 2),
    "feedforward.straight_through": lambda n: with_gradient(
        feedforward.straight_through(jnp.sign), floats(n)
    ),
    "image.AlexNet": lambda n: trained(image.AlexNet(10, 1 / 32), pictures(n, 32, 3)),
    "image.local_response_norm": lambda n: image.local_response_norm(pictures(n, 4, 8)),
    "image.ConvFeatures": lambda n: trained(image.ConvFeatures((2, 2)), pictures(n, 8, 3)),
    "image.PooledClassifier": lambda n: trained(
        image.PooledClassifier(image.ConvFeatures((2, 2)), 3), pictures(n, 8, 3)
    ),
    "image.decode": lambda n: image.decode(floats(n, 4), floats(n, 4)),
    "image.encode": lambda n: image.encode(floats(n, 4), floats(n, 4)),
    "image.iou": lambda n: image.iou(floats(n, 4), floats(n, 4)),
    "image.match": lambda n: image.match(floats(n, 4), floats(n, 4), ints(n)),
    "image.nms": lambda n: image.nms(floats(2, n, 4), floats(2, n), 0.5),
    "image.CRFasRNN": lambda n: trained(
        image.CRFasRNN(iterations=2), floats(n, 4, 4, 3), floats(n, 4, 4, 3)
    ),
    "image.FCN": lambda n: trained(
        image.FCN(image.ConvFeatures((2,) * 5), 3, upsampling="learned"), pictures(n, 32, 3)
    ),
    "image.EfficientNetLite0": lambda n: image.EfficientNetLite0().init_with_output(
        KEY, pictures(n, 32, 3)
    ),
    "image.Lite0Classifier": None,  # its maps are those of EfficientNetLite0
    "image.LectureLeNet5": lambda n: trained(image.LectureLeNet5(), pictures(n)),
    "image.LeNet5": lambda n: trained(image.LeNet5(), pictures(n)),
    "image.PublishedLeNet5": lambda n: trained(image.PublishedLeNet5(), pictures(n)),
    "image.pool_windows": lambda n: image.pool_windows(
        floats(6, 6, 2), jnp.tile(jnp.array([0, 1, 3, 6], jnp.int32), (n, 1)), (2, 1)
    ),
    "image.windows_of_boxes": lambda n: image.windows_of_boxes(floats(n, 4), 2.0, (6, 6)),
    "image.ConvNet": lambda n: trained(image.ConvNet(width=2), pictures(n, 8)),
    "image.Residual": None,  # in ConvNet
    "image.VGG": lambda n: trained(image.VGG(11, 10, 1 / 32), pictures(n, 32, 3)),
    "interpret.activations": inside(interpret.activations, "C1"),
    "interpret.convolution_names": None,
    "interpret.filters": None,
    "interpret.has_rectifier": None,
    "interpret.layer_shapes": None,
    "interpret.receptive_fields": None,
    "interpret.reconstructions": lambda n: inside(
        lambda *network: interpret.reconstructions(
            *network, "C1", rows=ints(n), columns=ints(n), units=ints(n, top=5)
        )
    )(n),
    "interpret.saliency": lambda n: inside(interpret.saliency, ints(n))(n),
    "interpret.top_patches": None,
    "interpret.gradient_norms": lambda n: interpret.gradient_norms(
        recurrent.GRUCell(4),
        recurrent.GRUCell(4).init(KEY, floats(n, 4), floats(n, D))["params"],
        floats(n, T, D),
        jnp.sum,
    ),
    "interpret.gradients_through_time": None,  # in gradient_norms
    "interpret.replace_operations": lambda n: interpret.replace_operations(
        jnp.sin, lambda _: lambda x: x / 2
    )(floats(n)),
    "language.AdaptiveSoftmax": lambda n: trained(
        language.AdaptiveSoftmax(20, (4, 9)), floats(n, T, 8), ints(n, T, top=20)
    ),
    "language.NeuralCache": cached,
    "language.interpolate_cache": lambda n: language.interpolate_cache(
        floats(n), floats(2, n), floats(3)
    ),
    "language.NeuralNGram": lambda n: trained(language.NeuralNGram(V), ints(n, 3)),
    "language.LanguageModel": lambda n: trained(
        model := language.LanguageModel(V, hidden=4),
        ints(n, T),
        model.initialize_carry(n),
        ints(n, T) > 3,
    ),
    "language.log_uniform_log_prob": lambda n: language.log_uniform_log_prob(ints(n), V),
    "language.log_uniform_samples": lambda n: language.log_uniform_samples(KEY, n, V),
    "language.sampled_log_prob": lambda n: language.sampled_log_prob(
        floats(n), floats(n, 3), ints(n), ints(3), floats(3)
    ),
    "language.SkipGram": lambda n: trained(language.SkipGram(V, V, 4), ints(n, T), ints(n, 3)),
    "language.context_mask": lambda n: language.context_mask(ints(n, T, top=3), ints(n, T + 4)),
    "language.path_log_probabilities": lambda n: language.path_log_probabilities(
        floats(n, 3), floats(n, 3)
    ),
    "language.table_step": lambda n: language.table_step(floats(V, V), ints(n), ints(n, top=2)),
    "recurrent.Bidirectional": lambda n: trained(
        recurrent.Bidirectional(*(recurrent.RNN(recurrent.GRUCell(4)) for _ in range(2))),
        floats(n, T, D),
        lengths(n),
        None,
        ints(n, T) > 3,
    ),
    "recurrent.ElmanCell": cell_step(recurrent.ElmanCell),
    "recurrent.GRUCell": cell_step(recurrent.GRUCell),
    "recurrent.LSTMCell": cell_step(recurrent.LSTMCell),
    "recurrent.MinGRUCell": recur(recurrent.MinGRUCell),
    "recurrent.MinLSTMCell": recur(recurrent.MinLSTMCell),
    "recurrent.MDRNN": lambda n: trained(recurrent.MDRNN(4), floats(n, 3, 4, D)),
    "recurrent.RNN": lambda n: [
        recur(recurrent.LSTMCell)(n),
        recur(recurrent.GRUCell, rule="autodiff", remat_chunk=2)(n),
        recur(recurrent.ElmanCell, zoneout=0.2, trainable_carry=True)(n),
    ],
    "recurrent.Stacked": lambda n: trained(
        recurrent.Stacked([recurrent.RNN(recurrent.ElmanCell(4)) for _ in range(2)], dropout=0.2),
        floats(n, T, D),
    ),
    "recurrent.DeepRecurrent": lambda n: trained(
        recurrent.DeepRecurrent(4, layers=2), floats(n, T, D), lengths(n)
    ),
    "sentence.CharEncoder": lambda n: trained(sentence.CharEncoder(9), ints(n, T, 4, top=9)),
    "sentence.SentenceClassifier": lambda n: trained(
        sentence.SentenceClassifier(encoder(), 3, "max"), *sentences(n)
    ),
    "sentence.evidence": lambda n: sentence.evidence(
        model := sentence.SentenceClassifier(encoder(), 3),
        model.init(KEY, *sentences(n)),
        *sentences(n),
    ),
    "sentence.SentenceEncoder": lambda n: trained(
        encoder(characters=True), ints(n, T), ints(n, T, 4, top=9), lengths(n)
    ),
    "sentence.log_partition": with_chain(lambda c, n: sentence.log_partition(c, lengths(n))),
    "sentence.log_prob": with_chain(lambda c, n: sentence.log_prob(c, ints(n, T), lengths(n))),
    "sentence.marginals": with_chain(lambda c, n: sentence.marginals(c, lengths(n))),
    "sentence.path_score": with_chain(lambda c, n: sentence.path_score(c, ints(n, T), lengths(n))),
    "sentence.viterbi": with_chain(lambda c, n: sentence.viterbi(c, lengths(n))),
    "sentence.Tagger": lambda n: trained(sentence.Tagger(encoder(), 4), *sentences(n)),
    "translation.Attention": attended,
    "translation.MultiSeq2Seq": multiway,
    "translation.Decoder": decoder,
    "translation.Encoder": lambda n: trained(
        translation.Encoder(V, 4, 4, layers=2, backwards=True), ints(n, T), lengths(n)
    ),
    "translation.Seq2Seq": lambda n: trained(
        translation.Seq2Seq(
            translation.Encoder(V, 4, 4), translation.Decoder(V, 4, 4, sampling=0.3)
        ),
        ints(n, T),
        lengths(n),
        ints(n, T),
        train=True,
    ),
}
