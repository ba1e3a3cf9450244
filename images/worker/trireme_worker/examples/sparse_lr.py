"""Sparse logistic regression with an L1 penalty, the workload of the parameter server's paper (OSDI'14, 5.1) in small.

A sentence is its hashed words and pairs of words, 2**20 features of which it has some 35. A worker reads the weights of
the features that its sentences have, and sends their gradient; the servers take a proximal Adagrad step, which makes most
weights exactly zero. The same training runs once for each choice of filters, to compare what they save and cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import trireme_worker.comm.ps as ps
from trireme_worker import report
from trireme_worker.examples import text

FEATURES = 2**20


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a sparse logistic regression on a parameter server.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)  # fmt: skip
    parser.add_argument("--iterations", type=int, default=40, help="passes of each worker over its sentences")
    parser.add_argument("--lr", type=float, default=1.0, help="Adagrad's learning rate")
    parser.add_argument("--l1", type=float, default=2e-5, help="the penalty on the sum of all weights' sizes")
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


def main() -> None:
    args = arguments()
    client = ps.init()
    torch.set_num_threads(1)
    training, test = text.load(args.sentences)
    own = training.share(ps.rank(), ps.size())
    grams, held_out = text.grams(own.sentences, FEATURES), text.grams(test.sentences, FEATURES)
    function = {"name": "proximal_l1", "l1": args.l1, "of": {"name": "adagrad", "lr": args.lr}}
    ...


if __name__ == "__main__":
    main()
