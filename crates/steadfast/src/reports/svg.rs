//! A small SVG writer: a tree of elements, escaped once, on the way out.

use std::fmt::{Display, Write};

/// Escapes text for HTML and XML, in content and in quoted attributes.
///
/// Characters that XML 1.0 forbids (most control characters) become U+FFFD, so that a model's reply
/// can never make a figure unreadable.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A coordinate with at most two decimals and no trailing zeros: short files, the same on each machine.
pub fn coordinate(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// One element of a drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// An element without attributes or children.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Adds an attribute; its value is escaped when written.
    pub fn set(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// Adds a coordinate or a length, in user units.
    pub fn at(self, name: &'static str, value: f64) -> Self {
        let value = coordinate(value);
        self.set(name, value)
    }

    /// Adds a child.
    pub fn child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    /// Adds text; it is escaped when written.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// Adds a child in place.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// The element as SVG text.
    pub fn render(&self) -> String {
        let mut written = String::new();
        self.write(&mut written);
        written
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            // Writing to a String cannot fail.
            let _ = write!(out, " {name}=\"{}\"", escape(value));
        }
        if self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(out),
                Node::Text(text) => out.push_str(&escape(text)),
            }
        }
        let _ = write!(out, "</{}>", self.name);
    }
}

/// A rectangle.
pub fn rectangle(x: f64, y: f64, width: f64, height: f64, fill: &str) -> Element {
    Element::new("rect")
        .at("x", x)
        .at("y", y)
        .at("width", width.max(0.0))
        .at("height", height.max(0.0))
        .set("fill", fill)
}

/// A straight line.
pub fn line(from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) -> Element {
    Element::new("line")
        .at("x1", from.0)
        .at("y1", from.1)
        .at("x2", to.0)
        .at("y2", to.1)
        .set("stroke", stroke)
        .at("stroke-width", width)
}

/// Where a label's `x` stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

/// One line of text; `y` is its baseline.
pub fn label(x: f64, y: f64, size: f64, anchor: Anchor, fill: &str, text: &str) -> Element {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    Element::new("text")
        .at("x", x)
        .at("y", y)
        .at("font-size", size)
        .set("text-anchor", anchor)
        .set("fill", fill)
        .text(text)
}

/// About how wide a line of text is: no less than in Noto Sans Bold, because a label that is cut too
/// early is read more easily than two that overlap.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '!' | ' ' => 0.31,
            'f' | 'r' | 't' | '-' | '/' | '(' | ')' => 0.46,
            'a' | 'c' | 'e' | 's' | 'v' | 'x' | 'y' | 'z' | '0'..='9' | '_' | '*' | '+' => 0.61,
            'm' | 'M' | 'W' | '%' | '@' | '…' => 1.0,
            'w' => 0.88,
            character if character.is_ascii_uppercase() => 0.82,
            _ => 0.67,
        })
        .sum::<f64>()
        * size
}

/// Breaks text into at most `lines` lines no wider than `width`; the last ends in `…` if text is left.
///
/// Breaks after spaces, hyphens, slashes and underscores, and within a word only when it does not
/// fit a line alone.
pub fn wrap(text: &str, size: f64, width: f64, lines: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        word.push(if character.is_whitespace() {
            ' '
        } else {
            character
        });
        let wide = text_width(&word, size) > width && word.chars().count() > 1;
        if wide {
            let last = word.pop().unwrap_or(' ');
            words.push(std::mem::take(&mut word));
            word.push(last);
        }
        if character.is_whitespace() || matches!(character, '-' | '/' | '_') {
            words.push(std::mem::take(&mut word));
        }
    }
    words.push(word);
    let mut wrapped: Vec<String> = vec![String::new()];
    let mut cut = false;
    for word in words {
        let current = wrapped.last_mut().expect("one line at least");
        if current.is_empty() || text_width(&format!("{current}{}", word.trim_end()), size) <= width
        {
            current.push_str(&word);
        } else if wrapped.len() < lines {
            wrapped.push(word);
        } else {
            cut = true;
            break;
        }
    }
    if cut && let Some(last) = wrapped.last_mut() {
        while text_width(&format!("{}…", last.trim_end()), size) > width && last.pop().is_some() {
        }
        *last = format!("{}…", last.trim_end());
    }
    wrapped
        .into_iter()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_is_escaped_in_content_and_attributes() {
        let hostile = "\"><script>alert('x')</script>&\u{0}";
        let drawn = Element::new("text")
            .set("id", hostile)
            .text(hostile)
            .render();
        assert_eq!(
            drawn,
            "<text id=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{fffd}\">\
             &quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{fffd}</text>"
        );
    }

    #[test]
    fn coordinates_are_short_and_never_minus_zero() {
        assert_eq!(coordinate(-0.001), "0");
        assert_eq!(coordinate(12.50), "12.5");
        assert_eq!(coordinate(100.0), "100");
        assert_eq!(coordinate(f64::NAN), "0");
    }

    proptest! {
        #[test]
        fn any_text_leaves_one_parsable_document(text in any::<String>()) {
            let svg = Element::new("svg")
                .set("xmlns", "http://www.w3.org/2000/svg")
                .at("width", 10.0)
                .at("height", 10.0)
                .child(Element::new("title").text(text.clone()))
                .child(label(1.0, 2.0, 12.0, Anchor::Start, &text, &text));
            let options = resvg::usvg::Options::default();
            prop_assert!(resvg::usvg::Tree::from_str(&svg.render(), &options).is_ok());
        }

        #[test]
        fn wrapped_lines_fit_and_are_few(text in "[a-zA-Z0-9 _/-]{0,80}", width in 30.0f64..200.0) {
            let lines = wrap(&text, 12.0, width, 2);
            prop_assert!(lines.len() <= 2);
            for line in lines {
                prop_assert!(text_width(&line, 12.0) <= width + 1e-9, "{line}");
            }
        }
    }
}
