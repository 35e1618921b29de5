//! Figures as PNG, with a font that travels inside the program.

use super::Figure;
use crate::{Error, Result};
use resvg::{tiny_skia, usvg};
use std::sync::{Arc, LazyLock};

/// Pixels a CSS pixel: sharp on dense screens and in print.
const SCALE: f32 = 2.0;

/// Noto Sans (SIL Open Font License 1.1): a fresh machine may have no font at all, and a figure
/// should look the same on each.
static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
    fonts.load_font_data(notosans::BOLD_TTF.to_vec());
    fonts.set_sans_serif_family("Noto Sans");
    Arc::new(fonts)
});

/// How a figure is read: with these fonts alone.
pub(super) fn options() -> usvg::Options<'static> {
    usvg::Options {
        fontdb: FONTS.clone(),
        font_family: "Noto Sans".into(),
        ..usvg::Options::default()
    }
}

/// Draws a figure at twice its size.
///
/// # Errors
/// A bug of ours, if the figure is no valid SVG or has no area.
pub fn to_png(figure: &Figure) -> Result<Vec<u8>> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::bug(format!("the figure `{}` cannot be drawn", figure.name)).because(cause)
    };
    let tree =
        usvg::Tree::from_str(&figure.svg(), &options()).map_err(|cause| failed(cause.into()))?;
    let size = tree.size().to_int_size();
    let scaled = |length: u32| (length as f32 * SCALE).ceil() as u32;
    let mut pixels = tiny_skia::Pixmap::new(scaled(size.width()), scaled(size.height()))
        .ok_or_else(|| failed("no area".into()))?;
    let transform = tiny_skia::Transform::from_scale(SCALE, SCALE);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(|cause| failed(cause.into()))
}
