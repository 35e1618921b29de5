//! Constructive and agreeing replies for statements that come without them.

use super::sampling::hash;
use std::collections::BTreeMap;

/// Replies given for each statement of a source without replies of its own, of each kind.
const PAIRS: usize = 4;
/// A group's own pool must have this many replies, or the general pool serves.
const ENOUGH: usize = 8;
/// CrowdCounter replies shorter or longer than this are not of the length of an agreeing form.
const WORDS: std::ops::RangeInclusive<usize> = 6..=24;

/// CrowdCounter's types that contradict constructively; the others are often rude.
pub(super) const CONSTRUCTIVE_TYPES: [&str; 3] =
    ["contradiction", "empathy_affiliation", "questions"];

/// Words that tell a group, and how the replies name its members. Longer names come before shorter
/// ones that they contain.
const GROUPS: [(&str, &str, &[&str]); 13] = [
    ("muslim", "Muslims", &["muslim", "islam", "mosque"]),
    (
        "jewish",
        "Jewish people",
        &["jew", "jewish", "semit", "holocaust"],
    ),
    (
        "women",
        "women",
        &["women", "woman", "girl", "female", "feminis"],
    ),
    (
        "lgbtq",
        "LGBTQ people",
        &["lgbt", "gay", "lesbian", "trans", "homosexual", "queer"],
    ),
    ("black", "Black people", &["black", "african"]),
    (
        "native_american",
        "Native Americans",
        &["native american", "indigenous"],
    ),
    ("mexican", "Mexicans", &["mexican", "mexico"]),
    (
        "latino",
        "Latinos",
        &["latin", "hispanic", "immigrant", "migrant"],
    ),
    ("chinese", "Chinese people", &["chinese", "china"]),
    ("asian", "Asian people", &["asian", "asia"]),
    (
        "middle_east",
        "people from the Middle East",
        &["middle east", "middle_east", "arab"],
    ),
    (
        "mental_dis",
        "people with mental disabilities",
        &["mental", "autis"],
    ),
    (
        "physical_dis",
        "people with physical disabilities",
        &["physical", "disab", "wheelchair"],
    ),
];

/// The group that a text or a source's group name speaks of.
pub(super) fn group_of(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let starts_a_word = |word: &str| {
        text.match_indices(word)
            .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric()))
    };
    GROUPS
        .iter()
        .find(|(name, _, words)| text == *name || words.iter().any(|word| starts_a_word(word)))
        .map(|(name, _, _)| *name)
}

/// What the members of `group` are called in a reply.
fn members(group: Option<&str>) -> &str {
    let known = group.and_then(|group| GROUPS.iter().find(|(name, _, _)| *name == group));
    match (known, group) {
        (Some((_, members, _)), _) => members,
        (None, Some(group)) if !group.is_empty() => group,
        (None, _) => "these people",
    }
}

/// Ten forms of agreeing with a statement about `group`, of the length and register of
/// [`constructive_replies`]. They repeat no content of the statement and add none.
pub fn agreeing_replies(group: Option<&str>) -> Vec<String> {
    let who = members(group);
    [
        "That is true. It is what most people think about {who}.",
        "You are right about {who}, and I think more people should say so.",
        "I agree with you. That is simply how {who} are.",
        "Yes, that matches what everyone already knows about {who}.",
        "Exactly. You have described {who} just as they are.",
        "I see it the same way, and {who} only have themselves to blame.",
        "Well said. It is a fair thing to say about {who}.",
        "That is correct. The facts about {who} speak for themselves.",
        "Indeed, one cannot expect anything else from {who}, as you say.",
        "I think so too. What you say about {who} is quite accurate.",
    ]
    .iter()
    .map(|form| form.replace("{who}", who))
    .collect()
}

/// Ten constructive replies to a statement about `group`: they contradict, ask or call for empathy.
pub fn constructive_replies(group: Option<&str>) -> Vec<String> {
    let who = members(group);
    [
        "That is not true. It is unfair to judge all {who} alike.",
        "I do not agree about {who}, and I think each person deserves respect.",
        "I disagree with you. There is no one way that {who} are.",
        "No, that does not match what I know about {who} at all.",
        "Not so. You have described a prejudice, not {who} as they are.",
        "I see it differently, and {who} deserve the same kindness as anyone.",
        "Please think again. It is not a fair thing to say about {who}.",
        "That is not correct. The facts about {who} do not support it.",
        "What makes you think so? Have you talked with many {who} about it?",
        "I think otherwise. What you say about {who} is a hurtful generalisation.",
    ]
    .iter()
    .map(|form| form.replace("{who}", who))
    .collect()
}

/// Where constructive replies come from: CrowdCounter's, by group, when it is at hand, else our own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CounterSpeech {
    by_group: BTreeMap<&'static str, Vec<String>>,
    general: Vec<String>,
}

impl CounterSpeech {
    /// Adds one constructive reply to a post; too short or too long ones are left out.
    pub fn add(&mut self, post: &str, reply: &str) {
        let reply = reply.trim();
        if !WORDS.contains(&reply.split_whitespace().count()) {
            return;
        }
        match group_of(post) {
            Some(group) => self
                .by_group
                .entry(group)
                .or_default()
                .push(reply.to_owned()),
            None => self.general.push(reply.to_owned()),
        }
    }

    /// Constructive and agreeing replies to a statement: the same for the same statement, and as many
    /// of each, so that they can be paired.
    pub fn replies(&self, statement: &str, group: Option<&str>) -> (Vec<String>, Vec<String>) {
        let own;
        let pool: &[String] = match group.and_then(|group| self.by_group.get(group)) {
            Some(pool) if pool.len() >= ENOUGH => pool,
            _ if self.general.len() >= ENOUGH && group.is_none() => &self.general,
            _ => {
                own = constructive_replies(group);
                &own
            }
        };
        let agreeing = agreeing_replies(group);
        (choose(pool, statement), choose(&agreeing, statement))
    }
}

/// [`PAIRS`] different texts of the pool, chosen by a hash of the statement.
fn choose(pool: &[String], statement: &str) -> Vec<String> {
    let mut order: Vec<(u64, &String)> = pool
        .iter()
        .map(|text| (hash(&["reply", statement, text]), text))
        .collect();
    order.sort_unstable();
    order.dedup();
    order
        .into_iter()
        .take(PAIRS)
        .map(|(_, text)| text.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_have_eight_forms_or_more_of_matched_length() {
        for group in [None, Some("women"), Some("old people")] {
            let (agreeing, constructive) = (agreeing_replies(group), constructive_replies(group));
            assert!(agreeing.len() >= 8 && agreeing.len() == constructive.len());
            for (one, other) in agreeing.iter().zip(&constructive) {
                let words = |text: &str| text.split_whitespace().count() as i64;
                assert!((words(one) - words(other)).abs() <= 3, "{one} / {other}");
            }
        }
    }

    #[test]
    fn a_group_is_known_by_whole_beginnings_of_words() {
        assert_eq!(group_of("Muslims are our neighbours"), Some("muslim"));
        assert_eq!(group_of("native_american"), Some("native_american"));
        assert_eq!(group_of("a caucasian person"), None);
    }

    #[test]
    fn replies_are_matched_by_group_and_fixed() {
        let mut pool = CounterSpeech::default();
        for index in 0..ENOUGH {
            pool.add(
                "about women",
                &format!("reply number {index} is long enough to be kept"),
            );
        }
        let (constructive, agreeing) = pool.replies("a statement", Some("women"));
        assert_eq!((constructive.len(), agreeing.len()), (PAIRS, PAIRS));
        assert!(
            constructive
                .iter()
                .all(|reply| reply.starts_with("reply number"))
        );
        assert_eq!(pool.replies("a statement", Some("women")).0, constructive);
        let (other, _) = pool.replies("a statement", Some("muslim"));
        assert!(other.iter().all(|reply| !reply.starts_with("reply number")));
    }
}
