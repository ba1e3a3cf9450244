from hypothesis import given
from hypothesis import strategies as st
from trireme_worker.output import LINE_BYTES, TAIL_LINE_BYTES, TAIL_LINES, Lines, Tail


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_lines_do_not_depend_on_how_the_bytes_came(pieces):
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)] + lines.flush()
    whole = b"".join(pieces).split(b"\n")
    assert found == (whole if whole[-1] else whole[:-1])


def test_an_endless_line_is_cut():
    lines = Lines()
    assert lines.feed(b"x" * (2 * LINE_BYTES + 1)) == [b"x" * LINE_BYTES] * 2
    assert lines.flush() == [b"x"]


def test_the_tail_keeps_the_last_lines():
    tail = Tail()
    tail.add([str(number).encode() for number in range(100)], is_error=False)
    assert tail.lines() == tuple(str(number) for number in range(100 - TAIL_LINES, 100))


def test_the_tail_shows_a_progress_bars_last_state_and_cuts_long_lines():
    tail = Tail()
    tail.add([b" 10%\r 50%\r100%\r", b"x" * 5000, b"\xff"], is_error=False)
    assert tail.lines() == ("100%", "x" * TAIL_LINE_BYTES, "\ufffd")


def test_the_last_error_line_is_not_one_of_stdout():
    tail = Tail()
    tail.add([b"Traceback", b"ValueError: boom", b"  "], is_error=True)
    tail.add([b"late print"], is_error=False)
    assert tail.last_error == "ValueError: boom"
