//! Files appear whole or not at all.

use crate::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes `bytes` to `path`: into a temporary file beside it, flushed to the disk, then renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |cause: std::io::Error| Error::file("write", path, cause).hint("check the room on the disk and your rights to the folder");
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself is durable once the folder is.
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
