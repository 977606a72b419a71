"""What the figures were taken on, as the kernel tells it. No paths, no names of hosts."""
import os
import platform
import re


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _first(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _caches():
    """{"L1d": "48K", ...} of the first processor."""
    caches = {}
    base = "/sys/devices/system/cpu/cpu0/cache"
    for index in range(8):
        level = _read(f"{base}/index{index}/level").strip()
        kind = _read(f"{base}/index{index}/type").strip()
        size = _read(f"{base}/index{index}/size").strip()
        if level and kind != "Instruction":
            caches[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return caches


def medium(directory):
    """The file system and the device that hold a directory."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    found = {"file_system": None, "device": None}
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            found["file_system"] = after.split()[0]
            found["device"] = os.path.basename(after.split()[1])
    found["durable"] = found["file_system"] not in ("tmpfs", "ramfs")
    cache = _read(f"/sys/dev/block/{wanted}/queue/write_cache").strip()
    found["write_cache"] = cache or None
    return found


def describe(directory):
    cpu = _read("/proc/cpuinfo")
    memory = _first(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    return {
        "processor": _first(r"^model name\s*:\s*(.*)$", cpu),
        "processors": os.cpu_count(),
        "mhz": _first(r"^cpu MHz\s*:\s*(.*)$", cpu),
        "virtual": " hypervisor" in cpu,
        "caches": _caches(),
        "memory_gib": round(int(memory) / 2**20, 1) if memory else None,
        "huge_pages": _first(r"\[(\w+)\]", _read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "kernel": platform.release(),
        "system": _first(r'^PRETTY_NAME="?([^"\n]*)', _read("/etc/os-release")),
        "log": medium(directory),
        "load_at_start": _read("/proc/loadavg").split()[:3],
    }


def processor_seconds():
    """Processor time so far: taken by other guests of the host, used by all of this machine, used by this run. To be read twice."""
    fields = _read("/proc/stat").splitlines()[0].split()[1:]
    ticks = os.sysconf("SC_CLK_TCK")
    times = os.times()
    return {"stolen": int(fields[7]) / ticks, "machine": sum(int(fields[i]) for i in (0, 1, 2, 5, 6)) / ticks,
            "run": times.user + times.system + times.children_user + times.children_system}


def used_by_others(own):
    """Processor seconds so far of all programs but those of `own` (process ids) and their descendants, time stolen by the host included.
    Kernel threads are left out: they mostly work for whoever writes. A child that ended counts in its parent."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents, used = {}, {}
    for name in os.listdir("/proc"):
        text = _read(f"/proc/{name}/stat") if name.isdigit() else ""
        if text:
            fields = text.rpartition(")")[2].split()
            parents[int(name)] = int(fields[1])
            used[int(name)] = sum(int(fields[i]) for i in (11, 12, 13, 14))
    return sum(time for process, time in used.items() if _is_other(process, parents, own)) / ticks + _stolen()


def _is_other(process, parents, own):
    """False as well for kernel threads, the descendants of process 2."""
    while process > 0:
        if process in own or process == 2:
            return False
        process = parents.get(process, 0)
    return True


def _stolen():
    return int(_read("/proc/stat").splitlines()[0].split()[8]) / os.sysconf("SC_CLK_TCK")
