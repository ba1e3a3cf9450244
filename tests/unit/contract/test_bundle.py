import io
import zipfile

from trireme.contract import bundle


def package(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return folder


def test_the_same_sources_give_the_same_bytes(tmp_path):
    first = bundle.build(
        package(tmp_path / "a", "b.py", "a.py", "sub/c.py"), package(tmp_path / "x", "__init__.py", "data.txt")
    )
    second = bundle.build(package(tmp_path / "b", "sub/c.py", "a.py", "b.py"), package(tmp_path / "y", "__init__.py"))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == [
            "__main__.py",
            "trireme/__init__.py",
            "trireme/contract/__init__.py",
            "trireme_worker/a.py",
            "trireme_worker/b.py",
            "trireme_worker/sub/c.py",
        ]


def test_the_agent_of_this_checkout_fits_into_a_config_map():
    agent = bundle.agent()
    assert len(agent.digest) == 64
    assert len(agent.content) < 512 * 1024
    with zipfile.ZipFile(io.BytesIO(agent.content)) as archive:
        assert {"trireme_worker/__main__.py", "trireme/contract/wire.py"} <= set(archive.namelist())
