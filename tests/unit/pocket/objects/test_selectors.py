import pytest
from trireme.pocket.objects.selectors import field_terms, parse_fields, parse_labels

LABELS = {"set": "l", "n": "1", "example.com/tier": "", "size": "12"}
POD = {"metadata": {"name": "w-0"}, "spec": {"nodeName": "n1", "hostNetwork": False}, "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("set=l", True),
        ("set==l", True),
        (" set = l , n = 1 ", True),
        ("set=x", False),
        ("n!=1", False),
        ("none!=1", True),
        ("set", True),
        ("none", False),
        ("!none", True),
        ("! set", False),
        ("n in (0,1)", True),
        ("n in(2, 3)", False),
        ("n notin (0)", True),
        ("none notin (0)", True),
        ("n notin (1)", False),
        ("example.com/tier=", True),
        ("example.com/tier in ()", True),
        ("size>11,size<13", True),
        ("size>12", False),
        ("set>1", False),
        ("set=l,n in (1),!none,size", True),
    ],
)
def test_labels(text, matches):
    assert parse_labels(text)(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    [
        "===",
        "=a",
        "a=b=c",
        "a in",
        "a in b",
        "a in (b",
        "a b",
        ",",
        "a,",
        "a,,b",
        "bad key!=x",
        "-a",
        "a=b c",
        "a>x",
        "!",
        "a=-",
    ],
)
def test_labels_refused(text):
    with pytest.raises(ValueError, match=r"unable to parse|must be an integer"):
        parse_labels(text)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=w-0", True),
        ("metadata.name==w-0,status.phase!=Failed", True),
        ("metadata.name!=w-0", False),
        ("spec.nodeName=", False),
        ("spec.schedulerName=", True),
        ("spec.hostNetwork=false", True),
        ("metadata.name.deeper=x", False),
    ],
)
def test_fields(text, matches):
    assert parse_fields(text)(POD) is matches


def test_field_terms_unescape():
    assert field_terms(r"a.b=x\,y\=z\\,c!=d") == [("a.b", r"x,y=z\ "[:-1], True), ("c", "d", False)]


@pytest.mark.parametrize("text", ["metadata.name", "a=b=c", r"a=\x"])
def test_fields_refused(text):
    with pytest.raises(ValueError, match="invalid"):
        parse_fields(text)
