"""Every public function and network of nets, as a call with any number of rows.

SURFACE maps "room.name" to a function of the number of rows, whose result is only traced. A network
is initialised and applied, and its gradient is taken. None: the function reads values on the host,
or it is part of another one of the table.
"""

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
from tests.nets.surface_calls import (
    DETECTOR,
    KEY,
    D,
    T,
    V,
    attended,
    bigram,
    boxes,
    cached,
    cell_step,
    chain,
    covered,
    decoder,
    encoder,
    floats,
    inside,
    ints,
    labelled,
    lengths,
    machine,
    multiway,
    pictures,
    recur,
    searched,
    sentences,
    trained,
    with_chain,
    with_gradient,
)

# classes without a computation of their own, tables of them, and numpy on the host
DATA = {
    "convolution": {"ReceptiveField", "Window", "output_size", "receptive_field"},
    "ctc": {"Alignment", "CTCBeam", "CTCLoss"},
    "decoding": {"BeamResult", "ExactResult", "GreedyResult", "Limits", "Normalize", "Score"}
    | {"SampleResult", "StepFn", "StepModel"},
    "feedforward": {"ACTIVATIONS", "INITIALIZERS", "BooleanNetwork"},
    "image": {"Kernels", "WindowScores", "digit_codes"},
    "interpret": {"ReceptiveFields", "TopPatches", "deconvnet_rule"},
    "language": {"HuffmanTree", "KneserNey", "fit_kneser_ney", "huffman_tree", "ngram_log_probs"}
    | {"adaptive_from_torch", "adaptive_to_torch", "from_backoff", "ngram_table", "to_backoff"},
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
    "ctc.ctc_best_path": lambda n: ctc.ctc_best_path(floats(n, T, V), lengths(n)),
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
    "decoding.sample_scored": lambda n: decoding.sample_scored(bigram(n), KEY, length=3),
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
    "image.RCNN": lambda n: trained(image.RCNN(*DETECTOR, side=16), pictures(n, 32, 3), boxes(n)),
    "image.SPPNet": lambda n: trained(
        image.SPPNet(*DETECTOR, levels=(2, 1), scales=(0.5, 1.0)), pictures(n, 32, 3), boxes(n)
    ),
    "image.warp": lambda n: image.warp(pictures(1, 8, 3)[0], floats(n, 4), 6),
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
    "sentence.k_best": with_chain(lambda c, n: sentence.k_best(c, lengths(n), 3)),
    "sentence.sample_tags": lambda n: sentence.sample_tags(chain(n), lengths(n), KEY),
    "sentence.viterbi": with_chain(lambda c, n: sentence.viterbi(c, lengths(n))),
    "sentence.Tagger": lambda n: trained(sentence.Tagger(encoder(), 4), *sentences(n)),
    "translation.Attention": attended,
    "translation.MultiSeq2Seq": multiway,
    "translation.Captioner": lambda n: trained(
        translation.Captioner(image.ConvFeatures((2, 2)), translation.Decoder(V, 4, 4), features=4),
        pictures(n, 8, 3),
        ints(n, 2, T),
    ),
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
