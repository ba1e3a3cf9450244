"""load: Kubernetes' YAML, strictly; every refusal names its line."""

from __future__ import annotations

import pytest
from trireme.spec.documents import BadDocument, load

HEAD = "apiVersion: trireme.dev/v1alpha1\nkind: TrainingJob\n"
BASE = {"apiVersion": "trireme.dev/v1alpha1", "kind": "TrainingJob"}


def test_every_document_is_read_and_empty_ones_are_not_counted() -> None:
    text = f"# a job and its data\n---\n{HEAD}---\n---\napiVersion: v1\nkind: ConfigMap\n---\n# nothing\n"
    assert load(text) == [BASE, {"apiVersion": "v1", "kind": "ConfigMap"}]


SCALARS = {
    "a date stays a string": ("2026-01-01", "2026-01-01"),
    "a time stays a string": ("12:30:00", "12:30:00"),
    "an integer": ("42", 42),
    "a negative one": ("-5", -5),
    "an octal one": ("0o17", 15),
    "a hexadecimal one": ("0x1F", 31),
    "a fraction": ("1.5", 1.5),
    "an exponent without a dot": ("1e3", 1000.0),
    "not a number, so a string": (".nan", ".nan"),
    "yes is true": ("yes", True),
    "off is false": ("off", False),
    "quoted digits": ("'5'", "5"),
    "nothing is null": ("", None),
    "a tilde is null": ("~", None),
}


@pytest.mark.parametrize(("text", "value"), SCALARS.values(), ids=SCALARS.keys())
def test_scalars_are_json(text: str, value: object) -> None:
    assert load(f"{HEAD}x: {text}\n") == [{**BASE, "x": value}]


def test_anchors_and_merges_work() -> None:
    text = HEAD + "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n"
    assert load(text) == [{**BASE, "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}]


LAUGHS = "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(8))
MANY = "more than 100000 values, aliases expanded"

BAD = {
    "empty": ("", "the file holds no document"),
    "comments only": ("# nothing\n---\n", "the file holds no document"),
    "open bracket": (HEAD + "a: [", "line 3: not YAML: expected the node content, but found '<stream end>'"),
    "a tab": (HEAD + "\ta: b", "line 3: not YAML: found character '\\t' that cannot start any token"),
    "a control character": (HEAD + "a: \x00", "line 3: not YAML: the character '\\x00' is not allowed"),
    "a list": ("- a", "line 1: a document must be a mapping: apiVersion, kind, metadata, spec"),
    "a word": ("hello", "line 1: a document must be a mapping: apiVersion, kind, metadata, spec"),
    "no apiVersion": ("kind: TrainingJob", "line 1: apiVersion is missing; of a job it is trireme.dev/v1alpha1"),
    "no kind": ("\napiVersion: v1", "line 2: kind is missing; of a job it is TrainingJob"),
    "kind is a list": ("apiVersion: v1\nkind: [a]", "line 2: kind is missing; of a job it is TrainingJob"),
    "another version": (
        "kind: TrainingJob\napiVersion: trireme.dev/v2",
        'line 2: apiVersion must be trireme.dev/v1alpha1, got the string "trireme.dev/v2"',
    ),
    "another kind of ours": (
        "apiVersion: trireme.dev/v1alpha1\nkind: TrainJob",
        'line 2: kind must be TrainingJob, got the string "TrainJob"',
    ),
    "a key twice": (HEAD + "a: 1\nb: 2\na: 3", "line 5: a is already set in line 3"),
    "a key twice, deep inside": (HEAD + "a: [{b: 1,\n b: 2}]", "line 4: b is already set in line 3"),
    "a number as key": (HEAD + "1: a", "line 3: keys must be strings; put this one in quotes"),
    "a truth as key": (HEAD + "on: a", "line 3: keys must be strings; put this one in quotes"),
    "a list as key": (HEAD + "? [a]\n: b", "line 3: keys must be strings; put this one in quotes"),
    "a Python object": (
        HEAD + "a: !!python/name:os.system",
        "line 3: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'",
    ),
    "a tag that does not fit": (
        HEAD + "a: !!int b",
        "line 3: not YAML: the value does not fit its type: invalid literal for int() with base 10: 'b'",
    ),
    "an unknown alias": (HEAD + "a: *b", "line 3: not YAML: found undefined alias 'b'"),
    "an alias to itself": (HEAD + "a: &a [*a]", f"line 3: {MANY}"),
    "a merge of itself": (HEAD + "a: &a\n  <<: *a", f"line 3: {MANY}"),
    "a billion laughs": (HEAD + "a0: &a0 [ha]\n" + LAUGHS, f"line 8: {MANY}"),
    "too deep": (HEAD + "a: " + "[" * 5000, "line 3: nested more than 100 levels deep"),
    "too deep through aliases": (
        HEAD + "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(150)),
        "line 102: nested more than 100 levels deep, aliases expanded",
    ),
    "too long": ("#" * (3 * 1024 * 1024 + 1), "the file has more than 3145728 characters"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_text_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BadDocument) as caught:
        load(text)
    assert str(caught.value) == message


def test_a_number_of_5000_digits_is_refused() -> None:
    with pytest.raises(BadDocument, match=r"line 3: not YAML: the value does not fit its type: Exceeds the limit"):
        load(f"{HEAD}a: {'9' * 5000}")
