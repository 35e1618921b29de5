//! Who may ask. The file holds names and SHA-256 digests of keys, never a key.

use crate::digest;
use crate::runs::atomic;
use crate::{Error, Result};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::path::Path;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// What each key begins with, so that a leaked one is recognised.
const PREFIX: &str = "sk-steadfast-";
/// Random bytes of a key. At 256 bits a plain digest cannot be turned back, so no slow one is needed.
const BYTES: usize = 32;
/// The first line of a file that is made here.
const HEADER: &str = "# Keys of `steadfast serve`: a name and the key's SHA-256 a line. Delete a line and start the server again to revoke a key.\n";

/// The digests of all keys that are let in.
#[derive(Clone)]
pub struct Keys {
    known: Vec<(String, [u8; 32])>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Keys({} keys)", self.known.len())
    }
}

impl Keys {
    /// Reads `NAME SHA256` lines.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error::file("read", path, cause)
                .field("--keys")
                .hint(format!(
                    "make the file and a first key: steadfast serve --new-key NAME --keys {}",
                    path.display()
                ))
        })?;
        let known = parse(&text).map_err(|error| error.at(path))?;
        if known.is_empty() {
            return Err(Error::user("the file has no key, so nobody could ask")
                .at(path)
                .hint("make one: add --new-key NAME"));
        }
        Ok(Self { known })
    }

    /// The name of the key, if it is one of these. Takes the same time for every key of a length,
    /// known or not.
    pub fn name_of(&self, key: &str) -> Option<&str> {
        let given = Sha256::digest(key.as_bytes());
        let mut found = Choice::from(0);
        let mut place = 0u64;
        for (index, (_, known)) in self.known.iter().enumerate() {
            let same = known.as_slice().ct_eq(given.as_slice());
            place.conditional_assign(&(index as u64), same);
            found |= same;
        }
        bool::from(found).then(|| self.known[place as usize].0.as_str())
    }
}

/// Makes a key of that name, adds its digest to the file, and gives the key back: it is told this once.
pub fn make(path: &Path, name: &str) -> Result<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Error::user(format!("`{name}` cannot name a key"))
            .field("--new-key")
            .hint("use up to 64 letters, digits and - _ . @"));
    }
    let mut text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => HEADER.to_owned(),
        Err(cause) => return Err(Error::file("read", path, cause).field("--keys")),
    };
    let known = parse(&text).map_err(|error| error.at(path))?;
    if known.iter().any(|(other, _)| other == name) {
        return Err(Error::user(format!("a key is called `{name}` already"))
            .at(path)
            .hint("choose another name, or delete its line first"));
    }
    let mut bytes = [0; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let key = format!("{PREFIX}{}", digest::hexadecimal(&bytes));
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &format!("{name} {}\n", digest::of(&key));
    atomic::write(path, text.as_bytes())?;
    Ok(key)
}

fn parse(text: &str) -> Result<Vec<(String, [u8; 32])>> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let mut words = line.split_whitespace();
            let entry = words.next().zip(words.next().and_then(from_hexadecimal));
            match (entry, words.next()) {
                (Some((name, digest)), None) => Ok((name.to_owned(), digest)),
                // The line is not quoted: somebody may have put a key there.
                _ => Err(Error::user("this line is no name and SHA-256 digest")
                    .line(index + 1)
                    .hint("delete the line, and make a new key with --new-key NAME")),
            }
        })
        .collect()
}

fn from_hexadecimal(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_and_is_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let one = make(&path, "one").unwrap();
        let two = make(&path, "two").unwrap();
        assert_ne!(one, two);
        assert!(make(&path, "two").is_err());
        assert!(make(&path, "a b").is_err());
        let keys = Keys::read(&path).unwrap();
        assert_eq!(keys.name_of(&one), Some("one"));
        assert_eq!(keys.name_of(&two), Some("two"));
        for wrong in [
            "",
            "sk-steadfast-",
            &one[..one.len() - 1],
            &format!("{one} "),
        ] {
            assert_eq!(keys.name_of(wrong), None);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&one[PREFIX.len()..]));
    }

    #[test]
    fn a_bad_line_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "# keys\none sk-steadfast-secret\n").unwrap();
        let error = Keys::read(&path).unwrap_err();
        assert_eq!(error.place.line, Some(2));
        assert!(!format!("{error:?}").contains("secret"));
        std::fs::write(&path, "# none\n").unwrap();
        assert!(Keys::read(&path).is_err());
    }
}
