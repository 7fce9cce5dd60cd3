//! How much memory this process holds.

use std::fs;

/// The memory of this process that is in RAM, in bytes; `None` where the system does not say.
///
/// Source: `VmRSS` in `/proc/self/status`, proc_pid_status(5); its kB are 1,024 bytes.
#[must_use]
pub fn resident_memory() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(parse("VmHWM:\t 9 kB\nVmRSS:\t   24 kB\n"), Some(24_576));
        assert_eq!(parse("VmRSS:\tmuch\n"), None);
        assert!(resident_memory().is_none_or(|bytes| bytes > 100_000));
    }
}
