"""Published word language models of the Penn Treebank as presets of `word_lm`.

Rates and limits are those of the papers, but for mikolov's: where a loss is a sum over the window
there (Zaremba et al.), the rate is times the window here and the limit of the gradient over it, for
here it is a mean over words.
"""

PASS, SHORT_PASS, LONG_PASS = 2323, 1327, 663  # steps, 20 lanes of 20, 35 and 70 words
WIDE_PASS = 1452  # 32 lanes of 20 words
PENN = {"min_count": 1, "batch_size": 20}
ZAREMBA = {
    **PENN,
    **{"cell": "lstm", "layers": 2, "tie_embeddings": False, "save_every": 500},
    **{"optimizer": "sgd", "schedule": "step"},
}

# his network, trained in our way: he has plain sgd, a word at a time, halved rates, and no dropout
MIKOLOV = {
    **PENN,
    **{"cell": "rnn", "hidden": 200, "embedding": 200, "dropout": 0.3, "bptt_length": 20},
    **{"batch_size": 32, "learning_rate": 2e-3, "ema_decay": 0.999},
    **{"steps": 6 * WIDE_PASS, "eval_every": WIDE_PASS},
}
ZAREMBA_SMALL = {
    **ZAREMBA,
    **{"hidden": 200, "embedding": 200, "bptt_length": 20, "init_range": 0.1},
    **{"learning_rate": 20.0, "clip_norm": 5 / 20, "steps": 13 * PASS, "eval_every": PASS},
    **{"decay_start": 3 * PASS, "decay_every": PASS, "decay_factor": 0.5},
}
ZAREMBA_MEDIUM = {
    **ZAREMBA,
    **{"hidden": 650, "embedding": 650, "bptt_length": 35, "init_range": 0.05},
    **{"dropout": 0.5, "embedding_dropout": 0.5, "learning_rate": 35.0, "clip_norm": 5 / 35},
    **{"steps": 39 * SHORT_PASS, "eval_every": SHORT_PASS, "decay_start": 5 * SHORT_PASS},
    **{"decay_every": SHORT_PASS, "decay_factor": 1 / 1.2},
}
# Merity et al. 2018. There dropout is 0.25 between layers, windows vary in length, and averaging
# begins when the validation loss stands still; here its memory grows with the steps up to 10,000
AWD = {
    **PENN,
    **{
        "cell": "lstm",
        "layers": 3,
        "hidden": 1150,
        "embedding": 400,
        "tie_embeddings": True,
        "bptt_length": 70,
    },
    **{"variational_dropout": True, "dropout": 0.4, "embedding_dropout": 0.4, "word_dropout": 0.1},
    **{
        "weight_drop": 0.5,
        "activation_reg": 2.0,
        "temporal_activation_reg": 1.0,
        "init_range": 0.05,
    },
    **{"optimizer": "sgd", "schedule": "constant", "learning_rate": 30.0, "clip_norm": 0.25},
    **{"weight_decay": 1.2e-6, "ema_decay": 0.9999},
    **{"steps": 500 * LONG_PASS, "eval_every": 2 * LONG_PASS},
}
PRESETS = {
    "mikolov": MIKOLOV,
    "zaremba_small": ZAREMBA_SMALL,
    "zaremba_medium": ZAREMBA_MEDIUM,
    "awd": AWD,
}
