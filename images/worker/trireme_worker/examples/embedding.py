"""A text classifier with an embedding table on a parameter server (fastText, Joulin et al. 2016).

A sentence is the mean of the vectors of its words and pairs of words; a linear head says whether it is positive. The
table has 2**18 rows, a batch some hundreds of them: only those are pulled, and only their gradients are pushed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, embedding_bag

import trireme_worker.comm.ps as ps
from trireme_worker import report
from trireme_worker.examples import text
from trireme_worker.examples.digits import positive

ROWS, WIDTH = 2**18, 16


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train an embedding model on a parameter server.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)  # fmt: skip
    parser.add_argument("--epochs", type=positive(int), default=3, help="passes over the sentences")
    parser.add_argument("--batch-size", type=positive(int), default=32, help="sentences per process and step")
    parser.add_argument("--lr", type=positive(float), default=0.1, help="Adagrad's learning rate")
    text.add_sentences(parser)
    return parser.parse_args(argv)


def logits(grams: text.Grams, vectors: Tensor, head: Tensor) -> Tensor:
    """[sentences] of the vectors [n, WIDTH] of `grams.unique` and a head of WIDTH weights and a bias."""
    means = embedding_bag(grams.place, vectors, grams.offsets, mode="mean")
    return means @ head[:WIDTH] + head[WIDTH]


def batches(rated: text.Rated, size: int) -> Iterator[text.Rated]:
    """In a new order each time."""
    order = torch.randperm(len(rated.sentences))
    for chosen in order.split(size):
        yield text.Rated(tuple(rated.sentences[i] for i in chosen.tolist()), rated.positive[chosen])


def step(client: ps.Client, grams: text.Grams, positive: Tensor) -> float:
    """Pulls what the batch needs, pushes its gradient; returns the loss."""
    vectors = client.pull_rows("vectors", grams.unique).requires_grad_()
    head = client.pull("head").requires_grad_()
    loss = binary_cross_entropy_with_logits(logits(grams, vectors, head), positive)
    by_vectors, by_head = torch.autograd.grad(loss, (vectors, head))
    pushes = [client.push_rows("vectors", grams.unique, by_vectors), client.push("head", by_head)]
    for push in pushes:
        client.wait(push)
    return loss.item()


def main() -> None:
    args = arguments()
    client = ps.init()
    torch.set_num_threads(1)
    torch.manual_seed(ps.rank())
    training, test = text.load(args.sentences)
    own = training.share(ps.rank(), ps.size())
    function = {"name": "adagrad", "lr": args.lr}
    client.register("vectors", (torch.rand(ROWS, WIDTH) - 0.5) / WIDTH, row=WIDTH, function=function)
    client.register("head", [WIDTH + 1], function=function)
    start = time.monotonic()
    done, moved = 0, 0
    total = args.epochs * -(-len(own.sentences) // args.batch_size)
    for _ in range(args.epochs):
        for batch in batches(own, args.batch_size):
            grams = text.grams(batch.sentences, ROWS)
            loss = step(client, grams, batch.positive)
            done, moved = done + 1, moved + len(grams.unique)
            report(step=done, total_steps=total, loss=loss)
    client.barrier()  # all pushes are in
    if ps.rank() == 0:
        report(rows_per_step=moved / done)
        print(f"{moved / done:.0f} of {ROWS} rows a step: {moved / done / ROWS:.2%} of a dense push")
        grams = text.grams(test.sentences, ROWS)
        found = logits(grams, client.pull_rows("vectors", grams.unique), client.pull("head"))
        text.verdict(text.accuracy(found, test), time.monotonic() - start)
    ps.shutdown()


if __name__ == "__main__":
    main()
