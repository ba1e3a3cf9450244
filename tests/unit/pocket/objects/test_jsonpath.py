import pytest
from trireme.pocket.objects import jsonpath

OBJECT = {
    "metadata": {"labels": {"example.com/tier": "gold", "app": "x"}},
    "spec": {"mode": "Fast", "none": None, "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Odd", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.mode", ["Fast"]),
        ("spec.mode", ["Fast"]),
        ("{.spec.mode}", ["Fast"]),
        ("$.spec.mode", ["Fast"]),
        (".spec.none", [None]),
        (".spec.absent.deeper", []),
        (".spec.mode.deeper", []),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Odd')].status", ["False"]),
        (".status.conditions[?(@.type != 'Odd')].type", ["Ready"]),
        (".status.conditions[?(@.reason)].type", []),
        (".spec.ports[?(@.port>1)].name", ["b"]),
        (".spec.ports[0].name", ["a"]),
        (".spec.ports[-1].name", ["b"]),
        (".spec.ports[7].name", []),
        (".spec.ports[*].port", [1, 2]),
        (".metadata.labels['example.com/tier']", ["gold"]),
        (r".metadata.labels.example\.com/tier", ["gold"]),
        (".metadata.labels.*", ["gold", "x"]),
    ],
)
def test_finds(path, found):
    assert jsonpath.compile(path)(OBJECT) == found


@pytest.mark.parametrize("path", [".spec[", ".spec[?(@.a==)]", "..", ".spec.[a", ".a b", ".a[x]"])
def test_refuses(path):
    with pytest.raises(ValueError, match="invalid JSONPath"):
        jsonpath.compile(path)
