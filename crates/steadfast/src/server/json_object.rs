//! A reply held to one JSON object (RFC 8259): which bytes may come next.
//!
//! A sampler that asks this before it takes a token can only write text that some JSON object begins
//! with, and is done when the object is closed.

/// Deepest nesting.
const DEPTH: usize = 32;
/// Most white space in a row: a model that is at a loss writes it without end.
const SPACES: u8 = 16;

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Object,
    Array,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The object's own brace.
    Start,
    /// A key, or the end of an object that has none yet.
    KeyOrEnd,
    /// A key, after a comma.
    Key,
    Colon,
    Value,
    /// A value, or the end of an array that has none yet.
    ValueOrEnd,
    /// A comma or an end.
    After,
    /// Inside a string; a key is followed by a colon.
    Text {
        key: bool,
    },
    Escape {
        key: bool,
    },
    /// Hexadecimal digits of an escape that are left.
    Unicode {
        key: bool,
        left: u8,
    },
    /// After a number's minus.
    Minus,
    /// After a leading zero.
    Zero,
    Whole,
    /// After the point, before a digit.
    Point,
    Fraction,
    /// After the e, before sign or digit.
    Exponent,
    /// After the exponent's sign.
    Sign,
    Power,
    /// Letters of true, false or null that are left.
    Word(&'static [u8]),
    Done,
}

/// One object so far.
#[derive(Clone, Debug)]
pub struct JsonObject {
    open: Vec<Open>,
    state: State,
    spaces: u8,
    /// Bytes of the character under way that are left.
    continuing: u8,
}

impl Default for JsonObject {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            state: State::Start,
            spaces: 0,
            continuing: 0,
        }
    }
}

impl JsonObject {
    /// The object is closed.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether these bytes may come next. None at all may not: they bring the object no further.
    pub fn allows(&self, bytes: &[u8]) -> bool {
        let mut ahead = self.clone();
        !bytes.is_empty() && bytes.iter().all(|byte| ahead.take(*byte))
    }

    /// Takes bytes that are allowed.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.take(*byte);
        }
    }

    /// Takes one byte if it may come next.
    fn take(&mut self, byte: u8) -> bool {
        if let State::Text { .. } = self.state {
            return self.take_in_text(byte);
        }
        if matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            return self.take_space();
        }
        self.spaces = 0;
        let next = match (self.state, byte) {
            (State::Start, b'{') => return self.enter(Open::Object),
            (State::KeyOrEnd | State::Key, b'"') => State::Text { key: true },
            (State::KeyOrEnd, b'}') => return self.leave(Open::Object),
            (State::Colon, b':') => State::Value,
            (State::ValueOrEnd, b']') => return self.leave(Open::Array),
            (State::Value | State::ValueOrEnd, _) => match byte {
                b'{' => return self.enter(Open::Object),
                b'[' => return self.enter(Open::Array),
                b'"' => State::Text { key: false },
                b'-' => State::Minus,
                b'0' => State::Zero,
                b'1'..=b'9' => State::Whole,
                b't' => State::Word(b"rue"),
                b'f' => State::Word(b"alse"),
                b'n' => State::Word(b"ull"),
                _ => return false,
            },
            (State::Word([expected, rest @ ..]), _) if byte == *expected => {
                if rest.is_empty() {
                    State::After
                } else {
                    State::Word(rest)
                }
            }
            (State::Escape { key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                State::Text { key }
            }
            (State::Escape { key }, b'u') => State::Unicode { key, left: 4 },
            (State::Unicode { key, left }, _) if byte.is_ascii_hexdigit() => {
                if left == 1 {
                    State::Text { key }
                } else {
                    State::Unicode {
                        key,
                        left: left - 1,
                    }
                }
            }
            (State::Minus, b'0') => State::Zero,
            (State::Minus, b'1'..=b'9') | (State::Whole, b'0'..=b'9') => State::Whole,
            (State::Zero | State::Whole, b'.') => State::Point,
            (State::Zero | State::Whole | State::Fraction, b'e' | b'E') => State::Exponent,
            (State::Point | State::Fraction, b'0'..=b'9') => State::Fraction,
            (State::Exponent, b'+' | b'-') => State::Sign,
            (State::Exponent | State::Sign | State::Power, b'0'..=b'9') => State::Power,
            _ if self.value_may_end() => match (self.open.last(), byte) {
                (Some(Open::Object), b',') => State::Key,
                (Some(Open::Array), b',') => State::Value,
                (Some(Open::Object), b'}') => return self.leave(Open::Object),
                (Some(Open::Array), b']') => return self.leave(Open::Array),
                _ => return false,
            },
            _ => return false,
        };
        self.state = next;
        true
    }

    /// A value has ended, or is a number that may end here.
    fn value_may_end(&self) -> bool {
        matches!(
            self.state,
            State::After | State::Zero | State::Whole | State::Fraction | State::Power
        )
    }

    fn take_space(&mut self) -> bool {
        let between = matches!(
            self.state,
            State::Start
                | State::KeyOrEnd
                | State::Key
                | State::Colon
                | State::Value
                | State::ValueOrEnd
        );
        if self.spaces >= SPACES || !(between || self.value_may_end()) {
            return false;
        }
        if self.value_may_end() {
            // White space ends a number.
            self.state = State::After;
        }
        self.spaces += 1;
        true
    }

    fn take_in_text(&mut self, byte: u8) -> bool {
        let State::Text { key } = self.state else {
            return false;
        };
        if self.continuing > 0 {
            self.continuing -= 1;
            return (0x80..0xc0).contains(&byte);
        }
        match byte {
            b'"' => self.state = if key { State::Colon } else { State::After },
            b'\\' => self.state = State::Escape { key },
            0x20..=0x7f => {}
            0xc2..=0xdf => self.continuing = 1,
            0xe0..=0xef => self.continuing = 2,
            0xf0..=0xf4 => self.continuing = 3,
            _ => return false,
        }
        true
    }

    fn enter(&mut self, what: Open) -> bool {
        if self.open.len() == DEPTH {
            return false;
        }
        self.open.push(what);
        self.state = match what {
            Open::Object => State::KeyOrEnd,
            Open::Array => State::ValueOrEnd,
        };
        true
    }

    fn leave(&mut self, what: Open) -> bool {
        if self.open.pop() != Some(what) {
            return false;
        }
        self.state = if self.open.is_empty() {
            State::Done
        } else {
            State::After
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> bool {
        let mut object = JsonObject::default();
        object.allows(text.as_bytes()) && {
            object.push(text.as_bytes());
            object.done()
        }
    }

    #[test]
    fn objects_pass_and_others_do_not() {
        for text in [
            "{}",
            " { } ".trim_end(),
            r#"{"a":1}"#,
            r#"{"a": [1, -2.5e+3, 0, {"b": null}], "é\u00e9\n": "🦀", "c": [], "d": true}"#,
            "{\n  \"a\" : 0.5 ,\n  \"b\" : false }",
        ] {
            assert!(whole(text), "{text}");
        }
        for text in [
            "[]",
            "1",
            "{",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":tru}",
            "{\"a\":[1}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{} x",
            "{}{}",
            "{\"a\":+1}",
            "{\"a\":[,1]}",
        ] {
            assert!(!whole(text), "{text}");
        }
    }

    proptest! {
        /// What passes, parses; and what a serializer writes, passes however it is cut.
        #[test]
        fn agrees_with_a_parser(text in r#"\{[{}\[\]",:0-9eE.\-+ truefalsn\\]{0,14}"#) {
            let parsed: Result<serde_json::Map<String, serde_json::Value>, _> =
                serde_json::from_str(&text);
            // The parser takes white space at the end; numbers beyond f64 are refused there alone.
            let trimmed = text.trim_end();
            if parsed.is_ok() {
                prop_assert!(whole(trimmed), "{}", text);
            } else if whole(trimmed) {
                let why = parsed.unwrap_err().to_string();
                prop_assert!(why.contains("out of range"), "{} {}", text, why);
            }
        }
    }
}
