//! The filter `tojson` as transformers defines it: Python's `json.dumps` without HTML escapes.

use super::{Bounded, LONGEST};
use minijinja::value::{Kwargs, Serde};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// `json.dumps(value, ensure_ascii, indent, separators, sort_keys)`, with the defaults of transformers.
/// What it writes is bounded as a whole rendering is: a template chooses how wide its steps are.
pub(super) fn tojson(value: Serde<Json>, options: Kwargs) -> Result<Value, Error> {
    let indent = match options.get::<Option<Value>>("indent")? {
        Some(indent) if !indent.is_none() => Some(match indent.as_str() {
            Some(step) => step.to_owned(),
            None => " ".repeat(usize::try_from(indent)?.min(LONGEST)),
        }),
        _ => None,
    };
    let separators: Option<Vec<String>> = options.get("separators")?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "separators are two: between items, and after a key",
            ));
        }
        // Where each item has a line of its own, no space ends the line before.
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let ascii = options
        .get::<Option<bool>>("ensure_ascii")?
        .unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut value = value.0;
    if sorted {
        value.sort_all_objects();
    }
    let mut output = Bounded::default();
    let python = Python {
        indent,
        item,
        key,
        ascii,
        depth: 0,
        empty: true,
    };
    let refused = |cause: String| Error::new(ErrorKind::BadSerialization, cause);
    value
        .serialize(&mut Serializer::with_formatter(&mut output, python))
        .map_err(|cause| refused(cause.to_string()))?;
    String::from_utf8(output.bytes)
        .map(Value::from_safe_string)
        .map_err(|cause| refused(cause.to_string()))
}

/// Writes as Python does.
struct Python {
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    depth: usize,
    /// Nothing stands yet in the list or object that was opened last.
    empty: bool,
}

impl Python {
    fn open(&mut self, bracket: &str, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket.as_bytes())
    }

    fn close(&mut self, bracket: &str, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket.as_bytes())
    }

    fn next(&mut self, first: bool, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.empty = false;
        self.line(writer)
    }

    fn line(&self, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let Some(step) = &self.indent else {
            return Ok(());
        };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(step.as_bytes()))
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open("[", writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close("]", writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(first, writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open("{", writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close("}", writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(first, writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !self.ascii {
            return writer.write_all(fragment.as_bytes());
        }
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() && byte != 0x7f => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}
