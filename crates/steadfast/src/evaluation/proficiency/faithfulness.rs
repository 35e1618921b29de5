//! Slot faithfulness: does a reply state a value that nobody ever gave?
//!
//! Values are numbers (in digits or words), days and months, times of day, prices, reference and
//! phone numbers, and names (capitalised words inside a sentence). A value is supported if the
//! conversation, its system message included, holds it in any of its forms: "two" supports "2",
//! "3 pm" supports "3:00 PM" and "15:00", "2019-03-04" supports "March 4th", "NYC" supports
//! "New York". Two computed values are supported: nights between two given days of a month, and an
//! amount of money that is a product of given numbers.
//!
//! What it leaves alone: "one", "a", "first" and "second", which rarely state a value in English;
//! names in lower case; and whether a supported value is the right one for its slot.

use crate::conversations::Message;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The values of `reply` that `messages` never gave, as they stand in the reply.
pub fn unsupported(messages: &[Message], reply: &str) -> Vec<String> {
    if reply.trim().is_empty() {
        return Vec::new();
    }
    let given = Given::read(messages);
    let mut missing = Vec::new();
    let mut rest = String::from(reply);
    // Longer forms first: each is blanked out, so that its parts are not judged again.
    check(&mut rest, &PATTERNS.phone, &mut missing, |found| {
        given.has_code(found)
    });
    check(&mut rest, &PATTERNS.code, &mut missing, |found| {
        given.has_code(found)
    });
    check(&mut rest, &PATTERNS.time, &mut missing, |found| {
        given.has_time(found)
    });
    check(&mut rest, &PATTERNS.iso_date, &mut missing, |found| {
        numbers(found).is_subset(&given.numbers)
    });
    check(&mut rest, &PATTERNS.month_day, &mut missing, |found| {
        months(found).is_subset(&given.months) && numbers(found).is_subset(&given.numbers)
    });
    check(&mut rest, &PATTERNS.money, &mut missing, |found| {
        given.has_money(found)
    });
    check(&mut rest, &PATTERNS.nights, &mut missing, |found| {
        given.has_nights(found)
    });
    check(&mut rest, &PATTERNS.number, &mut missing, |found| {
        numbers(found).is_subset(&given.numbers)
    });
    check(&mut rest, &PATTERNS.number_word, &mut missing, |found| {
        numbers(found).is_subset(&given.numbers)
    });
    check(&mut rest, &PATTERNS.weekday, &mut missing, |found| {
        given.words.contains(&found.to_lowercase())
    });
    missing.extend(
        names(&rest)
            .into_iter()
            .filter(|name| !given.has_name(name)),
    );
    missing
}

fn check(
    rest: &mut String,
    pattern: &Regex,
    missing: &mut Vec<String>,
    supported: impl Fn(&str) -> bool,
) {
    for found in pattern.find_iter(rest) {
        if !supported(found.as_str()) {
            missing.push(found.as_str().trim().to_string());
        }
    }
    // A comma, so that the words on both sides do not become one name.
    let blanked = pattern.replace_all(rest, " , ").into_owned();
    *rest = blanked;
}

/// What a conversation has given.
struct Given {
    /// Numbers in thousandths, so that 3.5 is exact.
    numbers: BTreeSet<i64>,
    months: BTreeSet<u32>,
    times: BTreeSet<(u32, u32)>,
    words: BTreeSet<String>,
    /// Letters and digits only, in lower case.
    compact: String,
}

impl Given {
    fn read(messages: &[Message]) -> Self {
        let text = messages
            .iter()
            .map(|message| message.content.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        let mut numbers = numbers(&text);
        let mut months = months(&text);
        for date in PATTERNS.iso_date.find_iter(&text) {
            // The middle part of an ISO date is its month.
            let month = date.as_str().split('-').nth(1);
            months.extend(month.and_then(|month| month.parse::<u32>().ok()));
        }
        let lower = text.to_lowercase();
        let mut words: BTreeSet<String> = lower
            .split(|character: char| !character.is_alphanumeric())
            .map(str::to_string)
            .collect();
        for (short, long) in SHORT_NAMES {
            if words.contains(*short) {
                words.extend(long.split(' ').map(str::to_string));
            }
        }
        // "A room" is one room; a first night and "the second" are numbers too once given.
        for (word, number) in [("a", 1), ("an", 1), ("one", 1), ("first", 1), ("second", 2)] {
            if words.contains(word) {
                numbers.insert(number * 1000);
            }
        }
        let times = PATTERNS
            .time
            .find_iter(&text)
            .filter_map(|found| time_of_day(found.as_str()))
            .collect();
        Self {
            numbers,
            months,
            times,
            words,
            compact: compact(&lower),
        }
    }

    fn has_code(&self, code: &str) -> bool {
        self.compact.contains(&compact(&code.to_lowercase()))
    }

    /// The same time of day, or the same hour where the customer named it without am or pm.
    fn has_time(&self, found: &str) -> bool {
        let Some((hour, minute)) = time_of_day(found) else {
            return true;
        };
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let names_half = found.to_lowercase().contains(['a', 'p']);
        self.times.contains(&(hour, minute))
            || (!names_half && self.times.contains(&((hour + 12) % 24, minute)))
            || (minute == 0
                && self.times.iter().all(|time| time.0 % 12 != hour % 12)
                && self.numbers.contains(&(i64::from(twelve) * 1000)))
    }

    fn has_money(&self, found: &str) -> bool {
        numbers(found).into_iter().all(|amount| {
            self.numbers.contains(&amount)
                || self.numbers.iter().any(|&price| {
                    // Nights, rooms or guests times a price; both in thousandths.
                    self.numbers.iter().any(|&count| {
                        count % 1000 == 0 && count <= 31_000 && price * (count / 1000) == amount
                    })
                })
        })
    }

    fn has_nights(&self, found: &str) -> bool {
        numbers(found).into_iter().all(|nights| {
            self.numbers.contains(&nights)
                || self.numbers.iter().any(|&day| {
                    day > 0
                        && day + nights <= 31_000
                        && day % 1000 == 0
                        && self.numbers.contains(&(day + nights))
                })
        })
    }

    fn has_name(&self, name: &str) -> bool {
        name.split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .all(|word| {
                self.words.contains(&word)
                    || COMMON_WORDS.contains(&word.as_str())
                    || word
                        .strip_suffix('s')
                        .is_some_and(|stem| self.words.contains(stem))
            })
    }
}

/// All numbers of a text in thousandths: digits (commas dropped, ordinals too) and words from two on.
fn numbers(text: &str) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    for number in PATTERNS.number.find_iter(text) {
        let digits: String = number
            .as_str()
            .chars()
            .filter(|character| character.is_ascii_digit() || *character == '.')
            .collect();
        if let Ok(value) = digits.trim_end_matches('.').parse::<f64>() {
            found.insert((value * 1000.0).round() as i64);
        }
    }
    for word in PATTERNS.number_word.find_iter(text) {
        let lower = word.as_str().to_lowercase();
        let value: i64 = lower
            .split([' ', '-'])
            .filter_map(|part| {
                NUMBER_WORDS
                    .iter()
                    .find(|(word, ordinal, _)| *word == part || *ordinal == part)
                    .map(|(_, _, value)| *value)
            })
            .sum();
        found.insert(value * 1000);
    }
    found
}

/// Months named in a text, 1 to 12. "May" and "march" count only beside a number.
fn months(text: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let long_enough = PATTERNS.month_name.find_iter(text);
    for name in PATTERNS.month_day.find_iter(text).chain(long_enough) {
        let lower = name.as_str().to_lowercase();
        found.extend(
            MONTHS
                .iter()
                .zip(1u32..)
                .filter(|(month, _)| lower.contains(*month))
                .map(|(_, number)| number),
        );
    }
    found
}

/// Hour (0 to 23) and minute. Without am or pm the hour is taken as it stands.
fn time_of_day(text: &str) -> Option<(u32, u32)> {
    let lower = text.to_lowercase();
    match lower.trim() {
        "noon" | "midday" => return Some((12, 0)),
        "midnight" => return Some((0, 0)),
        _ => {}
    }
    let parts = PATTERNS.clock.captures(&lower)?;
    let hour: u32 = parts.get(1)?.as_str().parse().ok()?;
    let minute: u32 = parts
        .get(2)
        .map_or(Some(0), |part| part.as_str().parse().ok())?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let hour = match parts.get(3).map(|half| half.as_str()) {
        Some("a") => hour % 12,
        Some("p") => hour % 12 + 12,
        _ => hour,
    };
    Some((hour, minute))
}

/// Names in a text: runs of capitalised words. A word that opens a sentence is part of a name only
/// if the next word is capitalised too.
fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for sentence in text.split(['.', '!', '?', '\n', ',', ';', ':', '"', '(', ')']) {
        let words: Vec<&str> = sentence
            .split_whitespace()
            .map(|word| word.trim_matches(|character: char| !character.is_alphanumeric()))
            .filter(|word| !word.is_empty())
            .collect();
        let mut run: Vec<&str> = Vec::new();
        let mut opens = true;
        for (index, &word) in words.iter().enumerate() {
            let capital = is_name_word(word);
            if capital {
                opens = if run.is_empty() { index == 0 } else { opens };
                run.push(word);
            }
            if !capital || index + 1 == words.len() {
                if run.len() > usize::from(opens) {
                    found.push(run.join(" "));
                }
                run.clear();
            }
        }
    }
    found
}

fn is_name_word(word: &str) -> bool {
    let lower = word.to_lowercase();
    let stem = lower.split(['\'', '\u{2019}']).next().unwrap_or_default();
    word.chars().next().is_some_and(char::is_uppercase) && !COMMON_WORDS.contains(&stem)
}

fn compact(text: &str) -> String {
    text.chars()
        .filter(|character| character.is_alphanumeric())
        .collect()
}

struct Patterns {
    phone: Regex,
    code: Regex,
    time: Regex,
    clock: Regex,
    iso_date: Regex,
    month_day: Regex,
    month_name: Regex,
    money: Regex,
    nights: Regex,
    number: Regex,
    number_word: Regex,
    weekday: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    // Constants of this crate, all compiled by each test of this module.
    let regex = |pattern: &str| Regex::new(pattern).expect("a value pattern compiles");
    let month = "(?:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)";
    let mut words: Vec<&str> = NUMBER_WORDS
        .iter()
        .flat_map(|(word, ordinal, _)| [*word, *ordinal])
        .filter(|word| !word.is_empty())
        .collect();
    // Longer words first, so that "sixteen" is not read as "six".
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let words = words.join("|");
    Patterns {
        phone: regex(r"\+?\d[\d ().-]{7,}\d"),
        code: regex(r"\b(?:[A-Z]+\d|\d+[A-Z])[A-Z0-9]{2,}\b|\b\d{6,}\b"),
        time: regex(
            r"(?i)\b\d{1,2}(?::\d{2})? ?(?:[ap]\.?m\b|o'?clock)|\b\d{1,2}:\d{2}\b|\b(?:noon|midday|midnight)\b",
        ),
        clock: regex(r"(\d{1,2})(?::(\d{2}))? ?([ap])?"),
        iso_date: regex(r"\b\d{4}-\d{2}-\d{2}\b"),
        month_day: regex(&format!(
            r"(?i)\b{month}\.? (?:the )?(?:\d{{1,2}}(?:st|nd|rd|th)?|(?:{words})(?:[ -](?:{words}))?)\b|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{month}\b"
        )),
        month_name: regex(
            r"(?i)\b(?:january|february|april|june|july|august|september|october|november|december)\b",
        ),
        money: regex(
            r"(?i)[$\u{a3}\u{20ac}] ?\d[\d,]*(?:\.\d+)?|\b\d[\d,]*(?:\.\d+)? ?(?:dollars|euros|pounds|usd|gbp|eur)\b",
        ),
        nights: regex(&format!(r"(?i)\b(?:\d+|{words})[ -](?:nights?|days?)\b")),
        number: regex(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"),
        number_word: regex(&format!(r"(?i)\b(?:{words})(?:[ -](?:{words}))?\b")),
        weekday: regex(r"(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"),
    }
});

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Cardinal, ordinal, value.
const NUMBER_WORDS: &[(&str, &str, i64)] = &[
    ("two", "", 2),
    ("three", "third", 3),
    ("four", "fourth", 4),
    ("five", "fifth", 5),
    ("six", "sixth", 6),
    ("seven", "seventh", 7),
    ("eight", "eighth", 8),
    ("nine", "ninth", 9),
    ("ten", "tenth", 10),
    ("eleven", "eleventh", 11),
    ("twelve", "twelfth", 12),
    ("thirteen", "thirteenth", 13),
    ("fourteen", "fourteenth", 14),
    ("fifteen", "fifteenth", 15),
    ("sixteen", "sixteenth", 16),
    ("seventeen", "seventeenth", 17),
    ("eighteen", "eighteenth", 18),
    ("nineteen", "nineteenth", 19),
    ("twenty", "twentieth", 20),
    ("thirty", "thirtieth", 30),
    ("forty", "", 40),
    ("fifty", "", 50),
    ("hundred", "", 100),
];

/// Names that customers shorten.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("nyc", "new york city"),
    ("ny", "new york"),
    ("la", "los angeles"),
    ("sf", "san francisco"),
    ("sfo", "san francisco"),
    ("sd", "san diego"),
    ("dc", "washington"),
    ("kl", "kuala lumpur"),
    ("philly", "philadelphia"),
    ("vegas", "las vegas"),
    ("uk", "united kingdom"),
    ("us", "united states"),
    ("usa", "united states"),
];

/// Words that are capitalised without being a name somebody must have given.
const COMMON_WORDS: &[&str] = &[
    "a",
    "about",
    "ac",
    "address",
    "agent",
    "all",
    "alright",
    "also",
    "am",
    "an",
    "and",
    "any",
    "anything",
    "are",
    "area",
    "as",
    "assistant",
    "at",
    "be",
    "booking",
    "but",
    "by",
    "bye",
    "can",
    "certainly",
    "check",
    "check-in",
    "check-out",
    "confirmed",
    "could",
    "customer",
    "date",
    "dear",
    "did",
    "do",
    "does",
    "else",
    "enjoy",
    "english",
    "for",
    "found",
    "from",
    "goodbye",
    "great",
    "guest",
    "have",
    "hello",
    "hi",
    "hotel",
    "house",
    "how",
    "i",
    "id",
    "if",
    "in",
    "inn",
    "is",
    "it",
    "its",
    "let",
    "location",
    "madam",
    "may",
    "me",
    "moderate",
    "mr",
    "mrs",
    "ms",
    "my",
    "name",
    "no",
    "not",
    "number",
    "of",
    "ok",
    "okay",
    "on",
    "one",
    "or",
    "our",
    "phone",
    "please",
    "pm",
    "price",
    "rating",
    "reference",
    "reservation",
    "right",
    "room",
    "rooms",
    "sir",
    "so",
    "sorry",
    "stars",
    "sure",
    "thank",
    "thanks",
    "that",
    "the",
    "then",
    "there",
    "they",
    "this",
    "time",
    "to",
    "today",
    "tomorrow",
    "total",
    "tv",
    "unfortunately",
    "user",
    "was",
    "we",
    "welcome",
    "well",
    "what",
    "when",
    "where",
    "which",
    "wi-fi",
    "wifi",
    "will",
    "with",
    "would",
    "yes",
    "you",
    "your",
];

#[cfg(test)]
mod tests;
