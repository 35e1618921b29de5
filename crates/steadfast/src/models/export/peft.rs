//! An adapter as a folder again, of which a part was taken.

use super::{Exported, as_a_whole, bytes_under};
use crate::Result;
use crate::models::Adapter;
use crate::models::resolve::Located;
use std::path::Path;

/// Writes the adapter's own two files into `place`, as PEFT reads them.
///
/// # Errors
/// Something stands there already, the folder cannot be written, or the adapter has magnitudes or
/// saved modules.
pub fn write(base: &Located, adapter: &Adapter, place: &Path) -> Result<Exported> {
    as_a_whole(place, |folder| {
        adapter.write(folder, &base.id, base.revision.as_deref())
    })?;
    Ok(Exported {
        path: place.to_owned(),
        bytes: bytes_under(place),
    })
}
