"""What a run costs: processor time, and the energy that it stands for. docs/runs.md tells the method and its limits."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

#: Watts that one busy core draws, from and to: rated power by core, from large servers (280 W for 64) to small old ones
#: (115 W for 8). Memory, disks, power supply and cooling come on top, and are not counted.
WATTS_PER_CORE = (4.0, 15.0)
POWERCAP = Path("/sys/class/powercap")
_PROC = Path("/proc")
_TICKS_S = os.sysconf("SC_CLK_TCK")
_JOULES_PER_WH = 3600.0


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds, and watt-hours from and to with how they were found: cpu time | rapl."""

    cpu_seconds: float
    energy_wh: tuple[float, float]
    method: str


def estimated_wh(cpu_seconds: tuple[float, float]) -> tuple[float, float]:
    """Return the watt-hours, from and to, that processor seconds, from and to, stand for."""
    low, high = (s * w / _JOULES_PER_WH for s, w in zip(cpu_seconds, WATTS_PER_CORE, strict=True))
    return low, high


class Meter:
    """Counts from the moment it is made on. ``look`` must be called now and then: RAPL's counters turn over."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        """Begin to count, by RAPL too if this process may read it."""
        self._powercap = powercap
        self._began_cpu = cpu_seconds()
        self._counters = _counters(powercap)
        self._joules = 0.0
        self._lock = threading.Lock()

    def look(self) -> None:
        """Take in what RAPL counted since the last look."""
        with self._lock:
            now = _counters(self._powercap)
            for domain, (microjoules, most) in now.items():
                if domain in self._counters:
                    gone = microjoules - self._counters[domain][0]
                    self._joules += (gone if gone >= 0 else gone + most) / 1e6
            self._counters = now

    def used(self) -> Used:
        """Return what was used since it was made."""
        self.look()
        spent = max(0.0, cpu_seconds() - self._began_cpu)
        if self._counters:
            measured = self._joules / _JOULES_PER_WH
            return Used(spent, (measured, measured), "rapl")
        return Used(spent, estimated_wh((spent, spent)), "cpu time")


def cpu_seconds() -> float:
    """Return the processor seconds of this process, of its children, and of theirs, ended ones included."""
    times = os.times()
    ended = times.children_user + times.children_system
    return times.user + times.system + ended + sum(_ticks(pid) for pid in _children(os.getpid())) / _TICKS_S


def _children(pid: int) -> list[int]:
    """Return the living children of a process and all below them; [] where the kernel does not tell."""
    found: list[int] = []
    for task in _listed(_PROC / str(pid) / "task"):
        found.extend(int(child) for child in _text(task / "children").split())
    return found + [below for child in found for below in _children(child)]


def _ticks(pid: int) -> int:
    """Return the ticks of a living process and of its ended children (proc_pid_stat(5): fields 14 to 17)."""
    fields = _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def _counters(powercap: Path) -> dict[str, tuple[int, int]]:
    """Return microjoules and the largest count of each processor package; {} where they may not be read."""
    found = {}
    for domain in powercap.glob("intel-rapl:*"):
        energy, most = _text(domain / "energy_uj").strip(), _text(domain / "max_energy_range_uj").strip()
        if domain.name.count(":") == 1 and energy.isdecimal() and most.isdecimal():  # two: a part of a package
            found[domain.name] = (int(energy), int(most))
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it has ended
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended, or is not for us
        return ""
