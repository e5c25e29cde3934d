"""What users and databases say is shown as text, on every console, and never steers a terminal."""

import io

import pytest
from rich.table import Table

from runners import options
from runners.screen import Screen, plain

HOSTILE = "[red]x[/red] :smile: \x1b[31m\x1b]0;title\x07 \x9b2J \u202etxt\r\x00\x7f \ud800"
SHOWN = r"[red]x[/red] :smile: \x1b[31m\x1b]0;title\x07 \x9b2J \u202etxt\r\x00\x7f \ud800"


def test_what_steers_a_terminal_is_written_as_in_python_and_the_rest_stays():
    assert plain(HOSTILE) == SHOWN
    assert plain("größer\n\tals 3 → 4 ● ⣀") == "größer\n\tals 3 → 4 ● ⣀"


@pytest.mark.parametrize("where", ["line", "cell", "heading", "title"])
@pytest.mark.parametrize("terminal", [False, True])
def test_no_string_that_is_printed_is_more_than_text(where, terminal):
    screen = Screen(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)
    table = Table(HOSTILE if where == "heading" else "a", title=HOSTILE if where == "title" else "t", min_width=110)
    table.add_row(HOSTILE if where == "cell" else "b")

    screen.print(HOSTILE if where == "line" else table, highlight=False)

    told = screen.file.getvalue()
    assert SHOWN in told
    assert not set(told) & set("\x00\x07\r\x7f\x9b\u202e")
    assert not set(told) & {"\x1b"} or where == "title" or terminal


def test_the_consoles_of_the_commands_are_such():
    assert isinstance(options.out, Screen)
    assert isinstance(options.err, Screen)
