"""What the text examples do before and after they talk to servers; `test_run` runs them whole."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest
import torch
from trireme_worker.examples import embedding, sparse_lr, text

BUCKETS = 2**20


def crc(gram: str) -> int:
    return zlib.crc32(gram.encode()) % BUCKETS


def of(grams: text.Grams, sentence: int) -> set[int]:
    return set(grams.unique[grams.place[grams.sentence == sentence]].tolist())


def test_the_sentences_are_split_the_same_way_on_every_rank() -> None:
    training, test = text.load(text.SENTENCES)
    assert (len(training.sentences), len(test.sentences)) == (8484, 2121)
    assert training.sentences == text.load(text.SENTENCES)[0].sentences
    assert not set(training.sentences[:100]) & set(test.sentences)
    assert 0.48 < training.positive.mean() < 0.51


def test_ranks_share_all_sentences() -> None:
    rated = text.Rated(tuple("abcdefg"), torch.arange(7.0))
    shares = [rated.share(rank, 3) for rank in range(3)]
    assert sorted("".join("".join(share.sentences) for share in shares)) == list("abcdefg")
    assert [share.positive.tolist() for share in shares] == [[0, 3, 6], [1, 4], [2, 5]]


def test_a_sentence_is_its_words_and_pairs_of_words() -> None:
    grams = text.grams(["It's good, good!", "...", "GOOD"], BUCKETS)
    assert [of(grams, i) for i in range(3)] == [
        {crc("it's"), crc("good"), crc("it's good"), crc("good good")},
        set(),
        {crc("good")},
    ]
    assert grams.lengths.tolist() == [4, 0, 1]
    assert grams.offsets.tolist() == [0, 4, 4]


def test_sentences_without_words_have_no_grams() -> None:
    grams = text.grams(["!", ""], BUCKETS)
    assert (grams.unique.tolist(), grams.place.tolist(), grams.offsets.tolist()) == ([], [], [0, 0])


def test_a_linear_models_logits_are_its_weights_over_the_length() -> None:
    grams = text.grams(["a b", "", "a"], BUCKETS)
    weights = {crc("a"): 3.0, crc("b"): 5.0, crc("a b"): 7.0}
    of_unique = torch.tensor([weights[gram] for gram in grams.unique.tolist()])
    expected = torch.tensor([15 / 3**0.5, 0.0, 3.0])
    torch.testing.assert_close(sparse_lr.logits(grams, of_unique), expected)


def test_an_embedding_models_logits_are_of_the_mean_vector() -> None:
    grams = text.grams(["a b", "a"], BUCKETS)
    vectors = torch.arange(3.0).view(3, 1).expand(3, embedding.WIDTH)
    head = torch.cat([torch.full((embedding.WIDTH,), 0.5), torch.tensor([10.0])])
    of_a = float(grams.unique.tolist().index(crc("a")))
    torch.testing.assert_close(embedding.logits(grams, vectors, head), torch.tensor([8.0, 8 * of_a]) + 10)


def test_an_epoch_has_every_sentence_once() -> None:
    rated = text.Rated(tuple("abcdefg"), torch.arange(7.0))
    batches = list(embedding.batches(rated, 3))
    assert [len(batch.sentences) for batch in batches] == [3, 3, 1]
    seen = {
        letter: value
        for batch in batches
        for letter, value in zip(batch.sentences, batch.positive.tolist(), strict=True)
    }
    assert seen == dict(zip("abcdefg", range(7), strict=True))


def test_sentences_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=re.escape(f"no sentences in {tmp_path}/none.tsv: run images/worker/fetch")):
        text.load(tmp_path / "none.tsv")


def test_a_model_that_has_not_learned_fails() -> None:
    rated = text.Rated(("a", "b", "c", "d"), torch.tensor([1.0, 0.0, 1.0, 0.0]))
    accuracy = text.accuracy(torch.tensor([0.1, -3.0, -0.2, 2.0]), rated)
    assert accuracy == 0.5
    with pytest.raises(SystemExit, match=r"held-out accuracy 0\.5000 is below 0\.69: the model has not learned"):
        text.verdict(accuracy, 1.0)


def test_a_number_of_iterations_is_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        sparse_lr.arguments(["--iterations", "0"])
    assert capsys.readouterr().err.endswith("error: argument --iterations: must be greater than 0, got 0\n")
