"""docs/cluster.md: its commands run here as they stand there, with HEAD and the names of files filled in."""

import re
import subprocess
import sys

import pytest
from conftest import free_port
from heads import MINE, ROOT, clean, end, own_ray

PAGE = (ROOT / "docs" / "cluster.md").read_text()
COMMANDS = [line.split("  #")[0].strip() for line in re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)]
SEARCH = 'space = "mine:space"\nevaluate = "mine:evaluate"\nobjectives = ["score:max"]\ntrials = 3\nepochs = "1"\nstudy = "cifar"\n'


def section(title):
    """The commands under a heading."""
    text = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return [line.split("  #")[0].strip() for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE)]


@pytest.fixture
def shell(tmp_path):
    """A way to type a command: in one folder, with one home and one Ray, all of which is gone at the end."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "search.toml").write_text(SEARCH)
    typed = []

    def run(command, *, wait=True, **environment):
        with (tmp_path / "log").open("a") as log:
            typed.append(
                subprocess.Popen(
                    ["bash", "-c", command], cwd=tmp_path, stdout=log, stderr=log, start_new_session=True,
                    env=clean(HOME=str(tmp_path), RAY_TMPDIR=place, **environment),
                )
            )  # fmt: skip
        assert not wait or typed[-1].wait(200) == 0, (tmp_path / "log").read_text()
        return (tmp_path / "log").read_text()

    with own_ray() as place:
        yield run
        for each in typed:
            end(each)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_laptops_commands_run(shell):
    for command in section("A laptop"):
        said = shell(command)

    assert "4 trials complete, 0 failed" in said
    assert "study first" in said


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.soak
def test_two_machines_by_hand_are_a_cluster_with_a_token(shell, tmp_path):
    port = free_port()
    token, private, mode, head, other, search = section("Two machines by hand")
    assert mode == "export RAY_AUTH_MODE=token"
    fill = {"HEAD:6379": f"127.0.0.1:{port}", "--port=6379": f"--port={port}", "HEAD": "127.0.0.1"}
    small = " --num-cpus=1 --include-dashboard=false"

    def here(command):
        for name, value in fill.items():
            command = command.replace(name, value)
        return command

    shell(token)
    shell(private)
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    shell(here(head) + small, RAY_AUTH_MODE="token")
    shell(here(other) + " --num-cpus=1", RAY_AUTH_MODE="token")
    said = shell(here(search), RAY_AUTH_MODE="token")

    assert "3 trials complete, 0 failed" in said


def test_every_command_of_ours_has_the_options_that_the_page_names():
    written = [re.sub(r"^.*? -- (?=nas )", "", command) for command in COMMANDS]
    ours = [command.split() for command in written if command.startswith("nas ")]

    assert {words[1] for words in ours} == {"search", "status", "dashboard", "studies"}
    for words in ours:
        command = words[1:3] if words[1] == "studies" else words[1:2]
        shown = subprocess.run(
            [sys.executable, "-m", "nas", *command, "--help"],
            env=clean(COLUMNS="200"), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert [word for word in words if word.startswith("--") and word not in shown] == []


def test_every_file_that_the_page_names_is_there():
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    named = {word for command in COMMANDS for word in command.split() if word.startswith("deploy/")}

    assert named == {"deploy/slurm/nas-search.sbatch", "deploy/Dockerfile", "deploy/kuberay/nas-search.yaml"}
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []


def test_no_password_stands_in_a_command_line():
    with_secret = [command for command in COMMANDS if "secret@" in command]

    assert with_secret
    assert [command for command in with_secret if not command.startswith("export NAS_STORAGE=")] == []
