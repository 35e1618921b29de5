//! What this process takes of its machine, where the system tells (Linux); `None` elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Begins [`peak_memory`] anew, from what lies in memory now. Where the system does not let it, the peak
/// is that of all before.
pub fn forget_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Most bytes that lay in memory at once, since the start or since [`forget_peak_memory`].
pub fn peak_memory() -> Option<u64> {
    peak_memory_of("self")
}

/// Bytes that lie in memory.
pub fn memory() -> Option<u64> {
    memory_line("self", "VmRSS:")
}

/// [`peak_memory`] of a process by its number.
pub(crate) fn peak_memory_of(process: &str) -> Option<u64> {
    memory_line(process, "VmHWM:")
}

fn memory_line(process: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The calling thread, for [`processor_time`].
pub fn this_thread() -> Option<PathBuf> {
    let name = fs::read_link("/proc/thread-self").ok()?;
    Some(Path::new("/proc").join(name))
}

/// What a thread has taken of the processors.
pub fn processor_time(thread: &Path) -> Option<Duration> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    // Its name, in brackets, may hold anything. After it come the state and ten numbers, then user's and
    // system's time in hundredths of a second (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (next()? + next()?)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_is_taken_is_seen() {
        let block = std::hint::black_box(vec![1u8; 256 << 20]);
        assert!(memory().unwrap() >= block.len() as u64);
        assert!(peak_memory().unwrap() >= block.len() as u64);
        forget_peak_memory();
        assert!(
            peak_memory().unwrap() >= block.len() as u64,
            "it is still there"
        );
    }

    #[test]
    fn a_busy_thread_takes_time_and_an_idle_one_none() {
        let thread = this_thread().unwrap();
        let before = processor_time(&thread).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let slept = processor_time(&thread).unwrap() - before;
        assert!(slept <= Duration::from_millis(20), "{slept:?}");
        let began = Instant::now();
        while processor_time(&thread).unwrap() - before < Duration::from_millis(100) {
            assert!(began.elapsed() < Duration::from_secs(60));
        }
    }
}
