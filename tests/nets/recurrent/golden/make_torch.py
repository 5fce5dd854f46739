"""Write torch.npz: results and gradients of PyTorch's recurrent networks.

Needs torch; run `python tests/nets/recurrent/golden/make_torch.py`. Random inputs are float32;
results are computed in float64 and stored as float32. Keys:

    torch_version, x [B, T, D], lengths [B], weights [B, T, 2 H]
    NETWORK/FORM/state/NAME      state dict; form "lengths" uses that of "both_directions"
    NETWORK/FORM/outputs         zero after the lengths; also h_n and, for an LSTM, c_n
    NETWORK/FORM/gradient/NAME   of sum(outputs * weights[..., :width]), by parameter and by x
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

B, T, D, H, P = 3, 5, 3, 4, 2
NETWORKS = {
    "rnn_tanh": lambda **form: torch.nn.RNN(D, H, nonlinearity="tanh", **form),
    "rnn_relu": lambda **form: torch.nn.RNN(D, H, nonlinearity="relu", **form),
    "gru": lambda **form: torch.nn.GRU(D, H, **form),
    "lstm": lambda **form: torch.nn.LSTM(D, H, **form),
    "lstm_projected": lambda **form: torch.nn.LSTM(D, H, proj_size=P, **form),
}
FORMS = {
    "single": {},
    "two_layers": {"num_layers": 2},
    "both_directions": {"num_layers": 2, "bidirectional": True},
}


def results(network, x, weights, lengths=None):
    """Outputs, final states and gradients by name."""
    x = x.clone().requires_grad_()
    network.zero_grad()
    if lengths is None:
        outputs, final = network(x)
    else:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, final = network(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=T)
    (outputs * weights[..., : outputs.shape[-1]]).sum().backward()
    names, final = (("h_n", "c_n"), final) if isinstance(final, tuple) else (("h_n",), (final,))
    states = dict(zip(names, final, strict=True))
    gradients = {f"gradient/{name}": p.grad for name, p in network.named_parameters()}
    return {"outputs": outputs, **states, "gradient/x": x.grad, **gradients}


def main():
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(0)

    def draw(*shape, scale=1.0):
        return torch.tensor(rng.normal(0, scale, shape).astype(np.float32), dtype=torch.float64)

    x, weights, lengths = draw(B, T, D), draw(B, T, 2 * H), torch.tensor([3, 5, 1])
    tensors = {"x": x, "weights": weights}
    for name, build in NETWORKS.items():
        for form, options in FORMS.items():
            network = build(batch_first=True, **options)
            state = {key: draw(*old.shape, scale=0.5) for key, old in network.state_dict().items()}
            network.load_state_dict(state)
            tensors |= {f"{name}/{form}/state/{key}": value for key, value in state.items()}
            cases = {form: None} | ({"lengths": lengths} if form == "both_directions" else {})
            for case, given in cases.items():
                for key, value in results(network, x, weights, given).items():
                    tensors[f"{name}/{case}/{key}"] = value
    arrays = {key: value.detach().numpy().astype(np.float32) for key, value in tensors.items()}
    np.savez_compressed(
        Path(__file__).with_name("torch.npz"),
        torch_version=np.array(torch.__version__.split("+")[0]),
        lengths=lengths.numpy(),
        **arrays,
    )


if __name__ == "__main__":
    main()
