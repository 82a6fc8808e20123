//! What the kernel says of this process, under the names that Prometheus' own clients use, and which
//! build it is of.

use std::fmt::Write as _;

/// Ticks in a second, on every Linux that this is built for.
const TICKS: f64 = 100.0;

/// Writes them. What cannot be read is left out.
pub(super) fn encode(page: &mut String) {
    let version = crate::version();
    let _texts_take_all = write!(
        page,
        "# HELP brigantine_build Which build this is.\n# TYPE brigantine_build info\n\
         brigantine_build_info{{version=\"{version}\"}} 1\n"
    );
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's own name comes before, and may have anything in it.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, fields)| fields.split_whitespace().collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let seconds = (user + system) as f64 / TICKS;
        counter(page, "process_cpu_seconds", "Time on processors.", seconds);
    }
    if let Some(bytes) = field(23) {
        gauge(page, "process_virtual_memory_bytes", "Memory that was asked for.", bytes as f64);
    }
    if let Some(kibibytes) = resident() {
        let bytes = kibibytes as f64 * 1024.0;
        gauge(page, "process_resident_memory_bytes", "Memory that is there.", bytes);
    }
    if let (Some(ticks), Some(booted)) = (field(22), booted()) {
        let seconds = booted as f64 + ticks as f64 / TICKS;
        gauge(page, "process_start_time_seconds", "When it began, since 1970.", seconds);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is that folder.
        let open = open.count().saturating_sub(1) as f64;
        gauge(page, "process_open_fds", "File descriptors that are open.", open);
    }
}

/// In KiB; pages are of different sizes on different kernels.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn booted() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn gauge(page: &mut String, name: &str, help: &str, value: f64) {
    let _texts_take_all =
        write!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
}

fn counter(page: &mut String, name: &str, help: &str, value: f64) {
    let _texts_take_all =
        write!(page, "# HELP {name} {help}\n# TYPE {name} counter\n{name}_total {value}\n");
}
