//! Writes a report with invented numbers, for the tests of the page itself.
//!
//! ```text
//! cargo run --release -p steadfast --example sample_report -- FOLDER [ARMS] [ITEMS]
//! ```

use steadfast::reports::{items, page};
use steadfast::results;

mod sample;

fn main() -> steadfast::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .unwrap_or_else(|| "target/sample-report".into());
    let mut number = |otherwise| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    };
    let (arms, items) = (number(2), number(360));
    let results = sample::results(arms, 1);
    let rows = sample::items(&results, items, 1);
    let folder = std::path::Path::new(&folder);
    let written = page::write(folder, &results, &rows, &sample::notes())?;
    steadfast::runs::atomic::write(&folder.join("results.json"), results.to_json()?.as_bytes())?;
    println!("{}", written.page.display());
    Ok(())
}
