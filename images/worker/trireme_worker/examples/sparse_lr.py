"""Sparse logistic regression with an L1 penalty, the workload of the parameter server's paper (OSDI'14, 5.1) in small.

A sentence is its hashed words and pairs of words, 2**20 features of which it has some 35. A worker reads the weights of
the features that its sentences have, and sends their gradient; the servers take a proximal Adagrad step, which makes
most weights exactly zero. The same training runs once for each choice of filters, to compare what they save and cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import trireme_worker.comm.ps as ps
from trireme_worker import report
from trireme_worker.examples import text
from trireme_worker.examples.digits import positive

FEATURES = 2**20
INDEX_BYTES, VALUE_BYTES = 4, 4


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a sparse logistic regression on a parameter server.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)  # fmt: skip
    parser.add_argument("--iterations", type=positive(int), default=40, help="passes of each worker over its sentences")
    parser.add_argument("--lr", type=positive(float), default=1.0, help="Adagrad's learning rate")
    parser.add_argument("--l1", type=positive(float), default=2e-5, help="the penalty on the sum of all weights' sizes")
    text.add_sentences(parser)
    return parser.parse_args(argv)


def choices(l1: float) -> dict[str, list[dict[str, Any]]]:
    """Filters by what they are called in the report."""
    kkt = {"name": "kkt", "l1": l1}
    return {
        "none": [],
        "bf16": [{"name": "bf16"}],
        "int8": [{"name": "int8"}],
        "key_caching": [{"name": "key_caching"}],
        "topk": [{"name": "topk", "ratio": 0.1}],
        "significantly_modified": [{"name": "significantly_modified", "threshold": l1}],
        "kkt": [kkt],
        "kkt_bf16": [kkt, {"name": "bf16"}],
    }


def logits(grams: text.Grams, weights: Tensor) -> Tensor:
    """[sentences] of the weights [n] of `grams.unique`; a sentence's features have the length 1 together."""
    scale = grams.lengths.clamp(min=1).float().rsqrt()
    return torch.zeros(len(grams)).index_add_(0, grams.sentence, weights[grams.place]) * scale


@dataclass(frozen=True)
class Outcome:
    accuracy: float
    nonzeros: int
    pushed_bytes: int
    """Of rank 0, over all iterations."""


def train(client: ps.Client, key: str, grams: text.Grams, positive: Tensor, iterations: int) -> Iterator[float]:
    """Gradient steps over all of a worker's sentences; yields each one's loss."""
    for _ in range(iterations):
        weights = client.pull_rows(key, grams.unique).view(-1).requires_grad_()
        loss = binary_cross_entropy_with_logits(logits(grams, weights), positive)
        (gradient,) = torch.autograd.grad(loss, weights)
        client.wait(client.push_rows(key, grams.unique, gradient.view(-1, 1)))
        yield loss.item()


def judge(client: ps.Client, key: str, held_out: text.Grams, test: text.Rated, plain_bytes: int) -> Outcome:
    """`plain_bytes`: what is pushed without filters."""
    weights = client.pull(key)
    accuracy = text.accuracy(logits(held_out, weights[held_out.unique]), test)
    pushed = [plain_bytes, *(traffic.after for traffic in client.traffic(key).values())]
    return Outcome(accuracy, int(weights.count_nonzero()), pushed[-1])


def main() -> None:
    args = arguments()
    client = ps.init()
    torch.set_num_threads(1)
    training, test = text.load(args.sentences)
    own = training.share(ps.rank(), ps.size())
    grams, held_out = text.grams(own.sentences, FEATURES), text.grams(test.sentences, FEATURES)
    function = {"name": "proximal_l1", "l1": args.l1, "of": {"name": "adagrad", "lr": args.lr}}
    outcomes: dict[str, Outcome] = {}
    start = time.monotonic()
    step, total = 0, args.iterations * len(choices(args.l1))
    for name, filters in choices(args.l1).items():
        client.register(name, [FEATURES], row=1, function=function, filters=filters)
        for loss in train(client, name, grams, own.positive, args.iterations):
            step += 1
            report(step=step, total_steps=total, loss=loss)
        client.barrier()  # all pushes are in
        if ps.rank() == 0:
            plain_bytes = args.iterations * len(grams.unique) * (INDEX_BYTES + VALUE_BYTES)
            outcomes[name] = judge(client, name, held_out, test, plain_bytes)
    seconds = time.monotonic() - start
    if ps.rank() == 0:
        told(outcomes, text.baseline(training, test))
        text.verdict(min(outcome.accuracy for outcome in outcomes.values()), seconds)
    ps.shutdown()


def told(outcomes: Mapping[str, Outcome], baseline: float) -> None:
    """Prints and reports what each choice of filters saved and cost."""
    plain = outcomes["none"]
    saved = {name: 1 - outcome.pushed_bytes / plain.pushed_bytes for name, outcome in outcomes.items()}
    print(f"{'filters':<24}{'accuracy':>9}{'non-zeros':>11}{'pushed':>9}{'saved':>8}")
    for name, outcome in outcomes.items():
        pushed = f"{outcome.pushed_bytes / 1e6:.1f} MB"
        print(f"{name:<24}{outcome.accuracy:>9.4f}{outcome.nonzeros:>11}{pushed:>9}{saved[name]:>8.1%}")
    print(f"of {FEATURES} weights; TF-IDF and logistic regression of scikit-learn: {baseline:.4f}", flush=True)
    of_filters = {f"saved_{name}": share for name, share in saved.items() if name != "none"}
    report(nonzeros=plain.nonzeros, baseline=baseline, **of_filters)


if __name__ == "__main__":
    main()
