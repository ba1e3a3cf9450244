from trireme_worker.store import BATCH_BYTES, Store


def test_a_reader_follows_a_scope():
    store = Store()
    store.put("global", "0", b"a")
    store.put("cross_0", "0", b"other")
    assert store.after("global", 0) == [("0", b"a")]
    store.put("global", "1", b"b")
    assert (store.after("global", 1), store.after("global", 2)) == ([("1", b"b")], [])


def test_a_dropped_scope_begins_again():
    store = Store()
    store.put("global", "0", b"old")
    store.drop("global")
    store.put("global", "0", b"new")
    assert (store.after("global", 0), store.after("never", 0)) == ([("0", b"new")], [])


def test_a_batch_has_a_limit_but_always_one_entry():
    store = Store()
    big = bytes(BATCH_BYTES)
    for key in "ab":
        store.put("global", key, big)
    assert store.after("global", 0) == [("a", big)]
    assert store.after("global", 1) == [("b", big)]
