"""trireme.pocket.kubelet.rewriting: what stands in for mounts and for cluster DNS."""

from __future__ import annotations

import pytest
from trireme.pocket.kubelet.rewriting import HostName, HostNames, Paths

MOUNTS = Paths({"/data": "/tmp/v/data", "/data/cache/": "/tmp/v/cache", "/tmp": "/tmp/v/tmp"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/data", "/tmp/v/data", id="the mount itself"),
        pytest.param("/data/", "/tmp/v/data/", id="with a slash"),
        pytest.param("/data/x.bin", "/tmp/v/data/x.bin", id="below it"),
        pytest.param("/data/cache/y", "/tmp/v/cache/y", id="the deepest mount wins"),
        pytest.param("--dir=/data/x", "--dir=/tmp/v/data/x", id="behind an equals sign"),
        pytest.param("/bin:/data/bin:/data", "/bin:/tmp/v/data/bin:/tmp/v/data", id="a search path"),
        pytest.param("open('/data/x')", "open('/tmp/v/data/x')", id="within code"),
        pytest.param("cat /data/a>/tmp/b", "cat /tmp/v/data/a>/tmp/v/tmp/b", id="a shell line, each place once"),
        pytest.param("/database", "/database", id="another folder of the same beginning"),
        pytest.param("/data.bak /data-2", "/data.bak /data-2", id="other names"),
        pytest.param("/mnt/data", "/mnt/data", id="in another folder"),
        pytest.param("./data ~/data x/data", "./data ~/data x/data", id="relative"),
        pytest.param("", "", id="empty"),
    ],
)
def test_paths(text: str, expected: str) -> None:
    assert MOUNTS.rewrite(text) == expected


def test_without_mounts_nothing_changes() -> None:
    assert Paths({}).rewrite("/data") == "/data"


SERVICES = {("default", "tj-digits"), ("default", "web"), ("other", "db")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("digits-worker-0.tj-digits", "<default tj-digits digits-worker-0>", id="the shortest form"),
        pytest.param("w-0.tj-digits.default", "<default tj-digits w-0>", id="with the namespace"),
        pytest.param("w-0.tj-digits.default.svc:7070", "<default tj-digits w-0>:7070", id="with svc and a port"),
        pytest.param("w-0.tj-digits.default.svc.cluster.local", "<default tj-digits w-0>", id="in full"),
        pytest.param("tcp://a.web:1,tcp://b.web:2", "tcp://<default web a>:1,tcp://<default web b>:2", id="several"),
        pytest.param("x.db.other", "<other db x>", id="of another namespace"),
        pytest.param("x.db", "x.db", id="another namespace needs to be named"),
        pytest.param("w-0.tj-digits.other", "w-0.tj-digits.other", id="in the wrong namespace"),
        pytest.param("train.py web.py", "train.py web.py", id="file names"),
        pytest.param("a.web.example.com", "a.web.example.com", id="the machine's DNS"),
        pytest.param("x.a.web", "x.a.web", id="a longer name"),
        pytest.param("web tj-digits.default.svc", "web tj-digits.default.svc", id="services themselves"),
    ],
)
def test_host_names(text: str, expected: str) -> None:
    def address(name: HostName) -> str:
        return f"<{name.namespace} {name.subdomain} {name.hostname}>"

    assert HostNames(SERVICES, "default").rewrite(text, address) == expected


def test_without_services_nothing_changes() -> None:
    assert HostNames(set(), "default").rewrite("a.b", lambda _: "x") == "a.b"
