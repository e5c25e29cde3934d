"""A private PostgreSQL server that is restarted, crashed, stopped and started: fsync on, settings as asked."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from conftest import free_port, require


class Server:
    """`with Server(max_connections=8) as server:`; skips where there is no PostgreSQL. Keyword arguments are settings.

    The port stays the same over restarts. `port=` in the methods below leads a URL through a proxy.
    """

    def __init__(self, **settings):
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        require(programs, "PostgreSQL (initdb)")
        self._programs, self._settings = programs[-1], settings
        self.port = free_port()

    def __enter__(self):
        self._home = Path(tempfile.mkdtemp(prefix="nas-pg-"))
        if os.getuid() == 0:
            shutil.chown(self._home, "postgres")
        try:
            data = self._home / "data"
            self._run("initdb", "-D", str(data), "-U", "nas", "--auth=trust", "-E", "UTF8", "--no-sync")
            settings = {
                "port": self.port,
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": self._home,
                "fsync": "on",
                **self._settings,
            }
            with (data / "postgresql.conf").open("a") as file:
                file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
            self.start()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_):
        if (self._home / "data" / "postmaster.pid").exists():
            self.crash()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def url(self):
        return self.url_of("postgres")

    def url_of(self, database, port=None):
        return f"postgresql+psycopg://nas@127.0.0.1:{port or self.port}/{database}"

    @property
    def log(self):
        """What the server said."""
        return (self._home / "log").read_text()

    def start(self):
        """Start and wait until it takes connections, after recovery if it crashed."""
        self._ctl("start", "-l", str(self._home / "log"))

    def restart(self, mode="fast"):
        """Stop in order ("fast": connections are ended; "immediate": a crash) and start again."""
        self._ctl("restart", "-m", mode, "-l", str(self._home / "log"))

    def stop(self):
        """Stop in order; connections are ended."""
        self._ctl("stop", "-m", "fast")

    def crash(self):
        """Stop at once, without a checkpoint; the next start recovers from the log."""
        self._ctl("stop", "-m", "immediate")

    def create_database(self, port=None):
        """URL of a new, empty database."""
        import sqlalchemy

        name = f"t{os.urandom(6).hex()}"
        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url_of(name, port)

    def end_connections(self, database_url):
        """End every connection to a database, as an administrator would; returns how many there were."""
        import sqlalchemy

        name = sqlalchemy.make_url(database_url).database
        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = :name"
        with engine.connect() as connection:
            ended = connection.execute(sqlalchemy.text(query), {"name": name}).scalar()
        engine.dispose()
        return ended

    def _ctl(self, command, *arguments):
        self._run("pg_ctl", command, "-D", str(self._home / "data"), "-w", *arguments)

    def _run(self, program, *arguments):
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self._home)
        if done.returncode:
            log = self._home / "log"
            said = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}\n{said}")
