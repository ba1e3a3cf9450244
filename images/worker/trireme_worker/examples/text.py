"""What the text examples share: rated sentences of film reviews, cut into hashed n-grams, and the judge.

The sentences come from vaderSentiment's source package; `python images/worker/fetch_sentences.py` puts them where they
are looked for, and the worker image has them.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor

from trireme_worker import report

SENTENCES = Path(sys.prefix, "share", "trireme", "film-sentences.tsv")
TARGET = 0.69
"""Held-out accuracy below which a run has failed; half of the sentences are positive."""


@dataclass(frozen=True)
class Rated:
    sentences: tuple[str, ...]
    positive: Tensor
    """float32 [sentences], 1 or 0."""

    def share(self, rank: int, size: int) -> Rated:
        """Every `size`-th sentence, from `rank` on."""
        return Rated(self.sentences[rank::size], self.positive[rank::size])


@dataclass(frozen=True)
class Grams:
    """The n-grams of some sentences: [grams] each, and where each sentence's begin."""

    unique: Tensor
    """int64 [n], ascending: the hashes that occur."""
    place: Tensor
    """int64 [grams]: which of `unique` a gram is."""
    offsets: Tensor
    """int64 [sentences]."""

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def sentence(self) -> Tensor:
        """int64 [grams]: whose a gram is."""
        return torch.repeat_interleave(torch.arange(len(self)), self.lengths)

    @property
    def lengths(self) -> Tensor:
        """int64 [sentences]: grams of each."""
        return torch.diff(self.offsets, append=torch.tensor([len(self.place)]))


def add_sentences(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="file of lines: number TAB rating TAB text")


def load(path: Path) -> tuple[Rated, Rated]:
    """8,484 sentences to train on and 2,121 to judge by, the same on every rank. Raises SystemExit without the file."""
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise SystemExit(
            f"there are no sentences in {path}: run images/worker/fetch_sentences.py, or give --sentences"
        ) from None
    positive = torch.tensor([float(rating) > 0 for _, rating, _ in lines])
    train, test = train_test_split(range(len(lines)), test_size=0.2, random_state=0, stratify=positive.numpy())
    return (
        Rated(tuple(lines[i][2] for i in train), positive[train].float()),
        Rated(tuple(lines[i][2] for i in test), positive[test].float()),
    )


def grams(sentences: Sequence[str], buckets: int) -> Grams:
    """The words of each sentence and its pairs of neighbours, each hashed to 0..buckets-1 ("hashing trick")."""
    hashed = [_hashed(sentence, buckets) for sentence in sentences]
    flat = torch.tensor([gram for each in hashed for gram in each], dtype=torch.int64)
    unique, place = torch.unique(flat, return_inverse=True)
    lengths = torch.tensor([len(each) for each in hashed])
    return Grams(unique, place, lengths.cumsum(0) - lengths)


def _hashed(sentence: str, buckets: int) -> list[int]:
    words = re.findall(r"[\w']+", sentence.lower())
    pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
    return sorted({zlib.crc32(gram.encode()) % buckets for gram in words + pairs})


def accuracy(logits: Tensor, rated: Rated) -> float:
    return ((logits > 0) == (rated.positive > 0)).float().mean().item()


def baseline(training: Rated, test: Rated) -> float:
    """Held-out accuracy of scikit-learn's TF-IDF and logistic regression on the same sentences."""
    vectorizer = TfidfVectorizer()
    model = LogisticRegression(max_iter=1000).fit(
        vectorizer.fit_transform(training.sentences), training.positive.numpy()
    )
    return float(model.score(vectorizer.transform(test.sentences), test.positive.numpy()))


def verdict(accuracy: float, seconds: float) -> None:
    """Reports the accuracy. Raises SystemExit, which makes the job fail, when it is below TARGET."""
    report(accuracy=accuracy)
    print(f"trained in {seconds:.1f} s, held-out accuracy {accuracy:.4f}", flush=True)
    if accuracy < TARGET:
        raise SystemExit(f"held-out accuracy {accuracy:.4f} is below {TARGET}: the model has not learned")
