//! Data on stdout: one JSON document, or lines and tables for people.

use serde::Serialize;
use std::io::{self, Write};
use steadfast::results::Change;
use steadfast::{Error, Result};

/// Writes to stdout. A reader that has gone away (`… | head`) is no failure.
pub fn write(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(cause) => Err(Error::outside("cannot write to stdout").because(cause)),
    }
}

/// Writes one JSON document.
pub fn json(document: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|cause| Error::bug("the answer has no JSON form").because(cause))?;
    write(&format!("{text}\n"))
}

/// Heads of the columns that [`change`] fills.
pub const CHANGE: [&str; 6] = ["before", "after", "net change", "95% interval", "p", "n"];

/// A change as cells of a table, with so many decimals.
pub fn change(change: &Change, decimals: usize) -> Vec<String> {
    vec![
        format!("{:.decimals$}", change.before),
        format!("{:.decimals$}", change.after),
        signed(change.net_change, decimals),
        interval(change.ci95, decimals),
        change.probability(),
        change.n.to_string(),
    ]
}

/// A number with its sign. Nothing at all has a plus, whatever its sign bit says; what only rounds to
/// nothing keeps its own, for an interval that ends at -0.04 leaves 0 out.
pub fn signed(value: f64, decimals: usize) -> String {
    format!("{:+.decimals$}", value + 0.0)
}

/// The two ends of an interval.
pub fn interval([low, high]: [f64; 2], decimals: usize) -> String {
    format!("{} … {}", signed(low, decimals), signed(high, decimals))
}

/// Columns for people: the first flush left, the others flush right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads.
    pub fn new(heads: &[&str]) -> Self {
        Self {
            rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()],
        }
    }

    /// Adds a row of as many cells.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            text += &format!("| {} |\n", row.join(" | "));
            if index == 0 {
                text += &format!("|{}\n", " --- |".repeat(row.len()));
            }
        }
        text
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if index == 0 {
                    line += &format!("{cell:<width$}");
                } else {
                    line += &format!("  {cell:>width$}");
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// A count with its bytes in words (`1.5 GB`).
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["metric", "value"]);
        table.row(vec!["a/very_long_name".into(), "1.0".into()]);
        table.row(vec!["b".into(), "100.0".into()]);
        assert_eq!(
            table.render(),
            "metric            value\na/very_long_name    1.0\nb                 100.0\n"
        );
        let page = "| metric | value |\n| --- | --- |\n| a/very_long_name | 1.0 |\n| b | 100.0 |\n";
        assert_eq!(table.markdown(), page);
    }

    #[test]
    fn nothing_is_never_negative() {
        assert_eq!(signed(-0.0, 1), "+0.0");
        assert_eq!(signed(-0.04, 1), "-0.0");
        assert_eq!(interval([-1.26, -0.0], 1), "-1.3 … +0.0");
    }

    #[test]
    fn bytes_in_words() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500_000_000), "1.5 GB");
    }
}
