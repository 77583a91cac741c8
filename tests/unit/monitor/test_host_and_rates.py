"""What is read of the machine, from recorded files; rates, the usual rate, and stalls, from made counters."""

from pathlib import Path

from runner.machine import CoreKind
from runner.monitor.host import LinuxHost, cpus_by_kind, open_host
from runner.monitor.rates import USUAL_AFTER, RateKeeper

STAT = "cpu  0\ncpu0 {busy} 0 0 {idle} 5 0 0 0 0 0\ncpu1 10 0 0 90 0 0 0 0 0 0\nintr 1\n"


def a_machine(root: Path) -> None:
    """A laptop that shows everything."""
    files = {
        "proc/meminfo": "MemTotal: 8 kB\nMemAvailable:  4 kB\n",
        "proc/stat": STAT.format(busy=100, idle=95),
        "proc/pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\n",
        "proc/pressure/memory": "some avg10=0.00 avg60=1.00 avg300=0.00 total=1\nfull avg10=9.00 total=0\n",
        "sys/class/thermal/thermal_zone0/temp": "45000\n",
        "sys/class/thermal/thermal_zone1/temp": "81500\n",
        "sys/class/power_supply/AC/online": "0\n",
        "sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_machine_that_shows_everything_is_read(tmp_path: Path) -> None:
    a_machine(tmp_path)
    host = LinuxHost(tmp_path, ((0,), (1,)), tmp_path)
    first = host.read(10.0)
    assert (first.available_bytes, first.psi_cpu, first.psi_memory, first.psi_io) == (4096, 12.5, 0.0, None)
    assert (first.temperature_c, first.on_battery, first.power_w) == (81.5, 1, None)
    assert (first.performance_busy, first.efficiency_busy) == (None, None)
    (tmp_path / "proc/stat").write_text(STAT.format(busy=175, idle=120))
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("31000000\n")
    second = host.read(12.0)
    assert (second.performance_busy, second.efficiency_busy, second.power_w) == (0.75, None, 15.0)
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("7\n")  # the counter has begun again
    assert host.read(13.0).power_w is None
    host.close()


def test_a_machine_that_shows_nothing_gives_nulls(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 1 kB\n")
    seen = LinuxHost(tmp_path, ((), ()), tmp_path).read(1.0)
    assert (seen.psi_cpu, seen.temperature_c, seen.on_battery, seen.power_w, seen.performance_busy) == (None,) * 5
    assert seen.disk_free_bytes > 0


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    host = open_host(tmp_path, cpus_by_kind([CoreKind("standard", 1, ((0,),))]))
    assert host.read(1.0).available_bytes > 0
    host.close()


def counters(**changes: int) -> dict[str, int]:
    names = ("ok", "failed", "skipped", "quarantined", "prompt_tokens_done", "generated_tokens", "pages_read")
    return {**dict.fromkeys(names, 0), "leased": 1, "pending_requests": 1, "discovery_done": 1, "paused": 0, **changes}


def test_the_share_of_the_usual_rate_halves_when_the_run_does_and_is_unknown_at_first() -> None:
    keeper = RateKeeper()
    done, shares = 0, []
    for second in range(400):
        done += 100 if second < 300 else 50
        shares.append(keeper.add(counters(prompt_tokens_done=done), float(second)).throughput_share)
    assert all(share is None for share in shares[: 15 * (USUAL_AFTER - 1)])
    assert shares[290] == 1.0
    assert shares[-1] == 0.5


def test_a_stall_is_counted_while_there_is_work_and_no_pause() -> None:
    keeper = RateKeeper()
    assert keeper.add(counters(ok=1), 0.0).stalled_s == 0
    assert keeper.add(counters(ok=1), 30.0).stalled_s == 30
    assert keeper.add(counters(ok=1, paused=1), 40.0).stalled_s == 0
    assert keeper.add(counters(ok=1), 50.0).stalled_s == 10
    assert keeper.add(counters(ok=2), 60.0).stalled_s == 0
    assert keeper.add(counters(ok=2, leased=0, pending_requests=0), 90.0).stalled_s == 0
