//! Tokens to text, a piece at a time, and where a stop string begins.

use crate::Result;
use crate::models::tokenizer::Tokenizer;

/// What the tokenizer writes for bytes that are no character (yet).
const INCOMPLETE: char = '\u{fffd}';

/// Text of tokens that come one by one. Its pieces together are the text of all tokens.
#[derive(Debug, Default)]
pub struct TextStream {
    tokens: Vec<u32>,
    /// Tokens whose text is told already and that the next ones are decoded together with, since
    /// some tokenizers write a token differently at a beginning.
    before: usize,
    /// Tokens whose text is told.
    told: usize,
}

impl TextStream {
    /// The text that `token` completes; empty in the middle of a character.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<String> {
        self.tokens.push(token);
        let rest = self.untold(tokenizer)?;
        if rest.is_empty() || rest.ends_with(INCOMPLETE) {
            return Ok(String::new());
        }
        self.before = self.told;
        self.told = self.tokens.len();
        Ok(rest)
    }

    /// What is left at the end: bytes that never became a character.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let rest = self.untold(tokenizer)?;
        self.told = self.tokens.len();
        Ok(rest)
    }

    fn untold(&self, tokenizer: &Tokenizer) -> Result<String> {
        let told = tokenizer.decode(&self.tokens[self.before..self.told])?;
        let all = tokenizer.decode(&self.tokens[self.before..])?;
        Ok(all.get(told.len()..).unwrap_or_default().to_owned())
    }
}

/// Looks for stop strings in text that comes in pieces.
#[derive(Debug, Default)]
pub struct StopFinder {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

/// What a piece of text came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// Text that is certainly no part of a stop string.
    pub text: String,
    /// A stop string was found right after it.
    pub stopped: bool,
}

impl StopFinder {
    /// Looks for any of these; empty ones are never found.
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops
                .iter()
                .filter(|stop| !stop.is_empty())
                .cloned()
                .collect(),
            held: String::new(),
        }
    }

    /// Takes a piece, and gives back what can be told of all pieces so far.
    pub fn push(&mut self, piece: &str) -> Passed {
        self.held.push_str(piece);
        // The one that is complete first: where the pieces end must not matter.
        let found = self
            .stops
            .iter()
            .filter_map(|stop| {
                let start = self.held.find(stop.as_str())?;
                Some((start + stop.len(), start))
            })
            .min();
        if let Some((_, start)) = found {
            let text = self.held[..start].to_owned();
            self.held.clear();
            return Passed {
                text,
                stopped: true,
            };
        }
        let kept = self
            .held
            .char_indices()
            .map(|(start, _)| start)
            .find(|start| {
                let end = &self.held[*start..];
                self.stops.iter().any(|stop| stop.starts_with(end))
            })
            .unwrap_or(self.held.len());
        Passed {
            text: self.held.drain(..kept).collect(),
            stopped: false,
        }
    }

    /// What was held back and turned out to be no stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use crate::models::resolve;
    use proptest::prelude::*;

    #[test]
    fn pieces_together_are_the_text() {
        let located = resolve::locate(None, &Silent).unwrap();
        let tokenizer = Tokenizer::read(&located.path).unwrap();
        for text in [
            "Plain words.",
            "naïve 🦀🦀 ‰ 旅館を予約 \n\n end",
            "a\u{fffd}b",
        ] {
            let tokens = tokenizer.encode(text).unwrap();
            // Cut in the middle of a character too.
            for end in 0..=tokens.len() {
                let mut stream = TextStream::default();
                let mut pieces = String::new();
                for token in &tokens[..end] {
                    pieces += &stream.push(&tokenizer, *token).unwrap();
                }
                pieces += &stream.finish(&tokenizer).unwrap();
                assert_eq!(pieces, tokenizer.decode(&tokens[..end]).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn a_stop_string_is_found_wherever_the_pieces_end(
            text in "[abé]{0,30}",
            stops in prop::collection::vec("[abé]{1,4}", 0..3),
            cuts in prop::collection::vec(1usize..4, 30),
        ) {
            let expected = stops
                .iter()
                .filter_map(|stop| {
                    let start = text.find(stop.as_str())?;
                    Some((start + stop.len(), start))
                })
                .min()
                .map(|(_, start)| start);
            let mut finder = StopFinder::new(&stops);
            let letters: Vec<char> = text.chars().collect();
            let (mut told, mut stopped, mut at) = (String::new(), false, 0);
            for cut in cuts {
                if stopped || at >= letters.len() {
                    break;
                }
                let end = (at + cut).min(letters.len());
                let passed = finder.push(&letters[at..end].iter().collect::<String>());
                told += &passed.text;
                stopped = passed.stopped;
                at = end;
            }
            if !stopped {
                told += &finder.finish();
            }
            prop_assert_eq!(stopped, expected.is_some());
            prop_assert_eq!(told.as_str(), &text[..expected.unwrap_or(text.len())]);
        }
    }
}
