//! What this machine has left.

use std::path::Path;

/// Bytes of memory, and those free. Inside a container the limit that counts is the container's.
pub fn memory() -> (u64, u64) {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 => (limits.total_memory, limits.free_memory),
        _ => (system.total_memory(), system.available_memory()),
    }
}

/// Bytes free where `path` is, or would be made.
pub fn free_disk(path: &Path) -> Option<u64> {
    let here = std::env::current_dir().unwrap_or_default().join(path);
    let disks = sysinfo::Disks::new_with_refreshed_list();
    // The file system that holds a folder is the one with the longest mount point above it.
    disks
        .list()
        .iter()
        .filter(|disk| here.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())
        .map(sysinfo::Disk::available_space)
}
