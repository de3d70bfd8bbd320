"""A real SLURM cluster on loopback, all of it in one folder: for tests, for benchmarks and by hand.

    python tests/slurm_cluster.py up --root /tmp/slurm [--nodes 4 --cpus 4 --mem-mb 16000 --gpus 2]
    eval "$(python tests/slurm_cluster.py env --root /tmp/slurm)"; sinfo
    python tests/slurm_cluster.py down --root /tmp/slurm

Needs root and Debian's packages slurm-wlm, slurmdbd, munge and mariadb-server, whether or not their services run.
Nothing is written outside the folder, and clients find the cluster through SLURM_CONF alone: clusters do not meet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from slurm_configuration import DEVICES, configuration

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
CLIENTS = ("mariadb", "mariadb-install-db", "sacct", "sacctmgr", "sbatch", "scontrol", "srun")
PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


def missing() -> str | None:
    """Why no cluster can be brought up here, or None."""
    if os.geteuid() != 0:
        return "a SLURM cluster on loopback needs root"
    absent = [program for program in (*DAEMONS, *CLIENTS) if shutil.which(program, path=PATH) is None]
    return f"a SLURM cluster on loopback needs the programs {', '.join(absent)}" if absent else None


@dataclass
class Cluster:
    """One controller, one accounting database and nodes n1, n2, ..., all on this machine.

    Partitions: `gpu` (the default; preempted jobs are requeued after 20 s of grace), `high` (preempts), `brief` (10
    minutes). `settings` are added to slurm.conf or replace what is there: with a SlurmdTimeout of 5 to 15 s (the
    default) a dead node is noticed 25 to 35 s after its death, with 30 s after 35 to 50 s.
    """

    root: Path
    nodes: int = 4
    cpus: int = 4
    mem_mb: int = 16000
    gpus: int = 2
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = Path(self.root).resolve()
        self.names = [f"n{number}" for number in range(1, self.nodes + 1)]
        self.env = {"SLURM_CONF": f"{self.root}/slurm.conf"}
        if self.gpus > len(DEVICES):
            raise ValueError(f"a node has at most {len(DEVICES)} GPUs, not {self.gpus}")
        longest = f"{self.root}/spool/{self.names[-1]}/{self.names[-1]}_1234567.4294967291"
        if len(longest) > 107 or " " in longest:
            raise ValueError(f"choose a shorter root, without spaces: {longest} may have 107 characters")

    def up(self) -> None:
        """Start everything; return when every node is idle. A folder that was up before keeps its jobs' records."""
        if reason := missing():
            raise RuntimeError(reason)
        if self.processes():
            raise RuntimeError(f"a cluster is up in {self.root} already")
        ports = _free_ports(2 + self.nodes)
        try:
            self._write_files([port.getsockname()[1] for port in ports])
            files = [f"--{name}={self.root}/munge/{name}" for name in ("socket", "key-file", "pid-file", "seed-file")]
            self._start("munged", "munged", f"--log-file={self.root}/log/munged.log", *files)
            self._start_mariadbd()
            # Each port is held until its daemon starts, so that no other cluster chooses it.
            ports[0].close()
            add = "sacctmgr -n -i add cluster loopback; sacctmgr -n list cluster"
            self._start("slurmdbd", "slurmdbd", ready=lambda: "loopback" in self.run("sh", "-c", add))
            ports[1].close()
            self.start_slurmctld()
            for name, port in zip(self.names, ports[2:], strict=True):
                port.close()
                self.start_slurmd(name)
            idle = ["idle"] * self.nodes  # "idle*" would be a node that does not answer yet
            if not _until(lambda: self.run("sinfo", "-hNp", "gpu", "-o", "%T").split() == idle, 60):
                raise self._failure("slurmctld")
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Kill the jobs, stop the daemons, and leave no process of this cluster."""
        if self.processes("slurmctld"):
            # The jobs first, as a step whose slurmd is gone lives on; scancel alone leaves them KillWait.
            with contextlib.suppress(RuntimeError):  # some ended just now
                self.run("sh", "-c", "squeue -h -o %A | xargs -r scancel", timeout=10)
            _until(lambda: not self._signal(signal.SIGKILL, "job") and not self.processes("slurmstepd"), 12)
        for program in reversed(DAEMONS):
            self._signal(signal.SIGTERM, program)
            _until(lambda program=program: not self.processes(program), 10)
        self._kill()

    def __enter__(self) -> Cluster:
        self.up()
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()

    def run(self, *command: str, cwd: Path | None = None, timeout: float = 60) -> str:
        """The output of a command that talks to this cluster."""
        options = dict(cwd=cwd, env=os.environ | self.env | {"PATH": PATH}, stdin=subprocess.DEVNULL)
        try:
            done = subprocess.run(command, **options, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{' '.join(command)} did not end within {timeout} s") from error
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def held(self) -> set[str]:
        """Jobs that SLURM holds: for two minutes after every requeue, and it has no setting for that."""
        lines = self.run("squeue", "-h", "-t", "PD", "-o", "%A %r").splitlines()
        return {job for job, reason in (line.split(maxsplit=1) for line in lines) if reason == "BeginTime"}

    def release(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            with contextlib.suppress(RuntimeError):  # it may have been cancelled since
                self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    @contextlib.contextmanager
    def releasing(self) -> Iterator[None]:
        """Release held jobs every second, also while the controller comes and goes."""
        ended = threading.Event()

        def work() -> None:
            before: set[str] = set()
            while not ended.wait(1):
                with contextlib.suppress(RuntimeError):
                    held = self.held()
                    # A job that starts in the second in which it was requeued is refused by its node.
                    self.release(held & before)
                    before = held

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def start_slurmctld(self) -> None:
        self._start("slurmctld", "slurmctld")

    def start_slurmd(self, node: str) -> None:
        self._start(f"slurmd-{node}", "slurmd", "-N", node)

    def kill_slurmctld(self) -> None:
        """The controller crashes; jobs run on. What happened in the last 5 s may not be saved."""
        self._kill("slurmctld")

    def kill_slurmd(self, node: str) -> None:
        """The node's daemon crashes; its job steps run on."""
        self._kill("slurmd", node)

    def kill_node(self, node: str) -> None:
        """The node loses power: its daemon, job steps and their processes are gone.

        Started again before it was missed, it is believed to have its jobs still, for over a minute: it did not boot.
        """
        self._kill(node=node)

    def processes(self, program: str | None = None, node: str | None = None) -> list[psutil.Process]:
        """This cluster's processes, none of its clients; the program is a daemon, slurmstepd or job.

        Daemons come first and are known by their open log, jobs by descent or, having left their step, environment.
        """
        roles: dict[psutil.Process, tuple[str, str]] = {}
        for pid in psutil.pids():
            with contextlib.suppress(psutil.Error):  # it ended just now
                process = psutil.Process(pid)
                if role := self._role(process):
                    roles[process] = role
                    if role[0] == "slurmstepd":
                        roles |= dict.fromkeys(process.children(recursive=True), ("job", role[1]))
        found = [process for process, role in roles.items() if program in (None, role[0]) and node in (None, role[1])]
        return sorted(found, key=lambda process: roles[process][0] == "job")

    def _role(self, process: psutil.Process) -> tuple[str, str] | None:
        name = Path(process.exe()).name.partition("-")[0]  # slurmd-wlm on Debian
        if name in (*DAEMONS, "slurmstepd"):
            files = [Path(file.path) for file in process.open_files()]
            nodes = [file.stem.partition("-")[2] for file in files if file.parent == self.root / "log"]
            return (name, nodes[0]) if nodes else None
        variables = process.environ()
        ours = variables.get("SLURM_CONF") == self.env["SLURM_CONF"] and "SLURMD_NODENAME" in variables
        return ("job", variables["SLURMD_NODENAME"]) if ours else None

    def _signal(self, number: int, program: str | None = None, node: str | None = None) -> bool:
        processes = self.processes(program, node)
        for process in processes:  # daemons first: a step that sees its job die would tell the controller
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        return bool(processes)

    def _kill(self, program: str | None = None, node: str | None = None) -> None:
        if not _until(lambda: not self._signal(signal.SIGKILL, program, node), 10):
            raise RuntimeError(f"cannot be killed: {self.processes(program, node)}")

    def _write_files(self, ports: list[int]) -> None:
        spools = [f"spool/{name}" for name in self.names]
        for folder in (".", "log", "run", "munge", "mysql", "state", "spool", *spools):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
            (self.root / folder).chmod(0o755)  # other users' jobs come here too
        host = socket.gethostname().partition(".")[0]
        hardware = dict(cpus=self.cpus, mem_mb=self.mem_mb, gpus=self.gpus)
        files = configuration(self.root, host, ports, self.settings, self.names, **hardware)
        files["munge/key-file"] = os.urandom(64).hex()
        for name, text in files.items():
            (self.root / name).touch()
            (self.root / name).chmod(0o644 if name == "slurm.conf" else 0o600)
            (self.root / name).write_text(text)

    def _start_mariadbd(self) -> None:
        folder = self.root / "mysql"
        options = ["--no-defaults", "--user=root", f"--datadir={folder}", "--innodb-log-file-size=8M"]
        if not (folder / "mysql").exists():
            install = ["mariadb-install-db", *options, "--skip-test-db", "--auth-root-authentication-method=socket"]
            self._start("mariadb-install-db", *install)
        options += [f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--skip-networking"]
        options += ["--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0"]
        query = ("mariadb", "--no-defaults", f"--socket={folder}/socket", "-e", "select 1")
        daemon = ("sh", "-c", 'setsid "$@" &', "sh", "mariadbd", *options)
        self._start("mariadbd", *daemon, ready=lambda: bool(self.run(*query)))

    def _start(self, name: str, *command: str, ready: Callable[[], bool] = lambda: True) -> None:
        # A bare environment: where this program runs in a job, nothing of that job reaches the daemons.
        env = self.env | {"PATH": PATH, "MYSQL_UNIX_PORT": f"{self.root}/mysql/socket"}
        options = dict(env=env, cwd="/", umask=0o022, stdin=subprocess.DEVNULL)
        with (self.root / "log" / f"{name}.log").open("a") as log:
            done = subprocess.run(command, **options, stdout=log, stderr=log)
        if done.returncode or not _until(ready, 60):
            raise self._failure(name)

    def _failure(self, name: str) -> RuntimeError:
        log = self.root / "log" / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-15:]
        return RuntimeError("\n  ".join([f"{name} did not start; the last lines of {log}:", *lines]))


def _free_ports(count: int) -> list[socket.socket]:
    found: list[socket.socket] = []
    while len(found) < count:
        candidate = socket.socket()
        with contextlib.suppress(OSError):
            # Below 32768: above, any client's connection may take the port of a daemon that is down.
            candidate.bind(("", random.randrange(10000, 32768)))
            found.append(candidate)
    return found


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes true in time; a client's error is a no."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RuntimeError):
            if condition():
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description="A SLURM cluster on loopback.")
    parser.add_argument("command", choices=("up", "down", "env"))
    parser.add_argument("--root", type=Path, required=True)
    for name in ("nodes", "cpus", "mem_mb", "gpus"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Cluster, name))
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    cluster = Cluster(**arguments)
    if command == "env":
        print(f"export SLURM_CONF={cluster.env['SLURM_CONF']}")
    else:
        getattr(cluster, command)()


if __name__ == "__main__":
    main()
