//! What must hold for every seed.

use super::corpus::{development_items, episode, test_items, training};
use super::phrasing::Phrasings;
use super::world::{FEATURES, MONTHS, Part};
use super::{agent_phrases, customer, customer_phrases};
use crate::conversations::Role;
use crate::evaluation::items::{Step, Task};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn moves() -> impl Iterator<Item = &'static (&'static str, Phrasings)> {
    agent_phrases::ALL.iter().chain(customer_phrases::ALL)
}

/// Every number, month, city, hotel, person and feature that a text names.
fn values_in(text: &str, part: Part) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        let is_name = |names: &[&str]| names.contains(&word);
        let (hotel, kind) = part.hotel_words();
        let (first, last) = part.people();
        if word.chars().any(|letter| letter.is_ascii_digit())
            || is_name(&MONTHS) && word != "May"
            || is_name(part.cities())
            || is_name(hotel)
            || is_name(kind)
            || is_name(first)
            || is_name(last)
        {
            found.insert(word.to_owned());
        }
    }
    for feature in FEATURES {
        let plain = feature.strip_prefix("a ").unwrap_or(feature);
        if text.contains(plain) {
            found.insert(plain.to_owned());
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_conversation_is_valid(seed: u64, index in 0usize..1000, which in 0usize..3) {
        let part = Part::ALL[which];
        let messages = episode(part, seed, index).conversation.messages;
        prop_assert_eq!(messages[0].role, Role::System);
        for (turn, message) in messages.iter().enumerate().skip(1) {
            let expected = if turn % 2 == 1 { Role::User } else { Role::Assistant };
            prop_assert_eq!(message.role, expected, "turn {} of {:?}", turn, messages);
            prop_assert!(!message.content.trim().is_empty());
            prop_assert!(!message.content.contains('{'), "unfilled: {}", message.content);
        }
        prop_assert_eq!(messages.last().unwrap().role, Role::Assistant);
    }

    #[test]
    fn the_agent_never_asks_for_what_it_knows(seed: u64, index in 0usize..1000, which in 0usize..3) {
        let episode = episode(Part::ALL[which], seed, index);
        for turn in &episode.turns {
            for slot in &turn.asked {
                let known = match *slot {
                    "length" => turn.known.contains_key("nights") || turn.known.contains_key("checkout"),
                    other => turn.known.contains_key(other),
                };
                prop_assert!(!known, "asks for {} in {:?}", slot, episode.conversation.messages);
            }
            for right in turn.next_steps.iter().filter(|right| right.step == Step::Ask) {
                prop_assert!(!right.slots.is_empty());
                for slot in &right.slots {
                    prop_assert!(!turn.known.contains_key(slot));
                }
            }
        }
    }

    #[test]
    fn the_agent_says_no_value_of_its_own(seed: u64, index in 0usize..1000, which in 0usize..3) {
        let part = Part::ALL[which];
        let messages = episode(part, seed, index).conversation.messages;
        let mut said = BTreeSet::new();
        for message in messages {
            let values = values_in(&message.content, part);
            if message.role == Role::Assistant {
                let invented: Vec<_> = values.difference(&said).collect();
                prop_assert!(invented.is_empty(), "{:?} in {}", invented, message.content);
            }
            said.extend(values);
        }
    }

    #[test]
    fn known_values_were_given_by_the_customer(seed: u64, index in 0usize..1000) {
        let episode = episode(Part::Training, seed, index);
        for turn in &episode.turns {
            let read: String = episode.conversation.messages[..turn.at]
                .iter().map(|message| message.content.to_lowercase() + "\n").collect();
            for value in turn.known.values() {
                prop_assert!(read.contains(&value.to_lowercase()), "{} not in {}", value, read);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_corpus_and_another_gives_another() {
    assert_eq!(training(7, 50), training(7, 50));
    assert_eq!(training(7, 50), training(7, 60)[..50]);
    assert_ne!(training(7, 50), training(8, 50));
    assert_eq!(test_items(7, 50), test_items(7, 50));
}

#[test]
fn there_are_600_different_training_conversations_and_150_test_items() {
    let distinct: BTreeSet<String> = training(1, 600)
        .iter()
        .map(|conversation| format!("{:?}", conversation.messages))
        .collect();
    assert_eq!(distinct.len(), 600);
    let items = test_items(1, 150).items;
    assert_eq!(items.len(), 150);
    let mut a_cluster: BTreeMap<&str, usize> = BTreeMap::new();
    let ids: BTreeSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids.len(), 150);
    for item in &items {
        *a_cluster.entry(&item.cluster).or_default() += 1;
    }
    assert!(a_cluster.values().all(|&count| count <= 3));
    let mut steps = BTreeSet::new();
    for item in &items {
        let Task::Booking { next_steps, .. } = &item.task else {
            panic!("not a booking item: {item:?}")
        };
        steps.insert(next_steps[0].step);
    }
    assert_eq!(
        steps.len(),
        10,
        "every step of the graph is tested: {steps:?}"
    );
}

#[test]
fn test_wordings_never_occur_in_training() {
    let training: BTreeSet<String> = moves()
        .flat_map(|(_, phrasings)| phrasings.training)
        .map(|wording| wording.to_lowercase())
        .collect();
    for (name, phrasings) in moves() {
        assert!(phrasings.training.len() >= 8, "{name}");
        assert!(phrasings.test.len() >= 4, "{name}");
        for wording in phrasings.test {
            assert!(
                !training.contains(&wording.to_lowercase()),
                "{name}: {wording}"
            );
        }
    }
}

#[test]
fn no_city_hotel_or_person_is_shared_between_parts() {
    let words = |part: Part| -> BTreeSet<&str> {
        let (hotel, kind) = part.hotel_words();
        let (first, last) = part.people();
        [
            part.cities(),
            hotel,
            kind,
            first,
            last,
            customer::requests(part),
        ]
        .into_iter()
        .flatten()
        .copied()
        .collect()
    };
    for (one, other) in [
        (Part::Training, Part::Test),
        (Part::Training, Part::Development),
        (Part::Development, Part::Test),
    ] {
        let (one, other) = (words(one), words(other));
        let shared: Vec<_> = one.intersection(&other).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
    // And in the texts themselves, not only in the lists they are drawn from.
    let names = words(Part::Test);
    for conversation in training(3, 200) {
        for message in conversation.messages {
            for word in message
                .content
                .split(|letter: char| !letter.is_alphanumeric())
            {
                assert!(!names.contains(word), "{word} in {}", message.content);
            }
        }
    }
    assert_eq!(development_items(3, 40).items.len(), 40);
}

#[test]
fn conversations_are_short_enough_to_train_on_a_laptop() {
    let corpus = training(5, 300);
    let words: usize = corpus
        .iter()
        .flat_map(|conversation| &conversation.messages)
        .map(|message| message.content.split_whitespace().count())
        .sum();
    let mean = words as f64 / corpus.len() as f64;
    // About 1.35 tokens a word with punctuation, and five of the template a turn.
    assert!((80.0..200.0).contains(&mean), "{mean} words a conversation");
}
