"""A cluster that asks for a token: who has it gets in, who has not is told so in one line."""

import pytest
from heads import MINE, TOKEN, head, nas

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SEARCH = ("search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--objective", "score:max", "--trials", "2", "--epochs", "1",
          "--runner", "ray")  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with head(
        tmp_path_factory.mktemp("head"), "--include-dashboard=false", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN
    ) as address:
        yield address


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory):
    with head(tmp_path_factory.mktemp("open"), "--include-dashboard=false", RAY_AUTH_MODE="disabled") as address:
        yield address


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def search(folder, address, **environment):
    return nas(*SEARCH, "--address", address, cwd=folder, HOME=str(folder), **environment)


def test_with_the_token_the_search_runs(guarded, folder):
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text(TOKEN)

    done = search(folder, guarded, RAY_AUTH_MODE="token")

    assert done.returncode == 0, done.stderr
    assert "2 trials complete, 0 failed" in done.stdout


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "it asks for a token, and the one given here is missing or not its own; put its token into"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 32}, "it asks for a token, and the one given here is"),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": TOKEN}, "or into RAY_AUTH_TOKEN, and set RAY_AUTH_MODE=token"),
        ({"RAY_AUTH_MODE": "token"}, "RAY_AUTH_MODE=token is set, but there is no token; put its token into"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/no/such"}, "the file that RAY_AUTH_TOKEN_PATH names"),
    ],
)
def test_without_it_the_last_line_says_so_and_nothing_is_tried_again(guarded, folder, environment, told):
    done = search(folder, guarded, **environment)

    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(f"nas: Ray cluster at {guarded}: ")
    assert told in lines[-1]
    assert len(lines) == 2  # the other one says what was to be searched
    assert not (folder / "nas.db").exists()


@pytest.mark.parametrize(
    ("environment", "here"),
    [({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}, "RAY_AUTH_MODE=token is set"), ({}, "there is a token")],
)
def test_a_token_that_the_cluster_does_not_ask_for_is_named(unguarded, folder, environment, here):
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text(TOKEN)

    done = search(folder, unguarded, **environment)
    without = search(folder, unguarded, RAY_AUTH_MODE="disabled")

    told = f"it asks for no token, but {here} here; set RAY_AUTH_MODE=disabled"
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"nas: Ray cluster at {unguarded}: {told}"
    assert without.returncode == 0, without.stderr
