"""The network of bench.decoding with the same weights in PyTorch, and the usual eager search."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nets.recurrent.convert import to_torch


class Problem(NamedTuple):
    """What both searches do; tilt: added to the logit of the end once it is due, or subtracted."""

    beams: int
    longest: int
    begin: int
    end: int
    length_penalty: float
    tilt: float

    def divisor(self, length: int) -> float:
        """Length penalty of GNMT."""
        return ((5 + length) / 6) ** self.length_penalty


class Layers(NamedTuple):
    """An encoder and a decoder of GRUs with attention."""

    embed_source: Any
    encoder: Any
    bridge: Any
    embed: Any
    cell: Any
    key: Any
    combine: Any
    output: Any


def layers(params: Any) -> Layers:
    """Make the layers from our parameters."""
    torch = importlib.import_module("torch")

    def tensors(arrays: Any) -> Any:
        return {name: torch.tensor(np.asarray(array)) for name, array in arrays.items()}

    def linear(params: Any) -> Any:
        arrays = tensors(params)
        layer = torch.nn.Linear(*arrays["kernel"].shape, bias="bias" in arrays)
        arrays["weight"] = arrays.pop("kernel").T
        layer.load_state_dict(arrays)
        return layer

    def recurrent(params: Any, layer: Callable[..., Any], ending: str) -> Any:
        arrays = tensors(to_torch(params, "gru"))
        sizes = (arrays[f"weight_{side}_l0"].shape[1] for side in ("ih", "hh"))
        made = layer(*sizes)
        made.load_state_dict({name.removesuffix(ending): x for name, x in arrays.items()})
        return made

    def encoder(size: int, hidden: int) -> Any:
        return torch.nn.GRU(size, hidden, batch_first=True, bidirectional=True)

    def embedding(side: str) -> Any:
        return torch.nn.Embedding.from_pretrained(tensors(params[side]["table"])["embedding"])

    own = {**params["decoder"], **params["decoder"]["attend"]}
    return Layers(
        embedding("encoder"),
        recurrent(params["encoder"]["core"]["stack"], encoder, ""),
        linear(own["bridges_0"]),
        embedding("decoder"),
        recurrent(own["recurrent_0"], torch.nn.GRUCell, "_l0"),
        *(linear(own[name]) for name in ("key", "combine", "output")),
    )


def eager_search(
    problem: Problem, params: Any, source: np.ndarray, lengths: np.ndarray
) -> Callable[[], np.ndarray]:
    """Return a search of a batch that returns the best scores of each row.

    It keeps a list of finished hypotheses for each row, and stops once no open hypothesis of any
    row can enter the list.
    """
    torch = importlib.import_module("torch")
    net, beams, end = layers(params), problem.beams, problem.end
    ids, counts = torch.tensor(source).long(), torch.tensor(lengths).long()
    padding = (torch.arange(ids.shape[1])[None] >= counts[:, None])[:, None]
    rows = len(ids)

    @torch.no_grad()
    def run() -> np.ndarray:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            net.embed_source(ids), counts.cpu(), batch_first=True, enforce_sorted=False
        )
        packed, last = net.encoder(packed)
        values, _ = torch.nn.utils.rnn.pad_packed_sequence(
            packed, batch_first=True, total_length=ids.shape[1]
        )
        keys = net.key(values)
        h = torch.tanh(net.bridge(torch.cat([last[0], last[1]], -1))).repeat_interleave(beams, 0)
        tokens = torch.full((rows * beams,), problem.begin)
        totals = torch.full((rows, beams), -torch.inf)
        totals[:, 0] = 0
        ended: list[list[float]] = [[] for _ in range(rows)]
        for length in range(1, problem.longest + 1):
            h = net.cell(net.embed(tokens), h)
            query = h.view(rows, beams, -1)
            scores = (query @ keys.transpose(1, 2)).masked_fill(padding, -torch.inf)
            context = torch.softmax(scores, -1) @ values
            state = torch.tanh(net.combine(torch.cat([context, query], -1)))
            logits = net.output(state)
            tilt = torch.where(length > counts, problem.tilt, -problem.tilt)
            logits[:, :, end] += tilt[:, None]
            following = torch.log_softmax(logits, -1) + totals[..., None]
            finals = (following[:, :, end] / problem.divisor(length)).tolist()
            for row, final in enumerate(finals):
                ended[row] = sorted([*ended[row], *final], reverse=True)[:beams]
            following[:, :, end] = -torch.inf
            totals, indices = following.view(rows, -1).topk(beams)
            parents = indices // logits.shape[-1] + torch.arange(rows)[:, None] * beams
            tokens, h = (indices % logits.shape[-1]).view(-1), h[parents.view(-1)]
            bound = max(problem.divisor(length + 1), problem.divisor(problem.longest))
            best = (totals[:, 0] / bound).tolist()
            if all(row[-1] >= score for score, row in zip(best, ended, strict=True)):
                break
        return np.array(ended)

    return run
