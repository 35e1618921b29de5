//! Episodes as training conversations and as test items.

use super::episode::{Episode, write};
use super::world::Part;
use crate::conversations::{Conversation, Role};
use crate::evaluation::Axis;
use crate::evaluation::items::{Item, Suite, Task};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Items drawn from one conversation at most, so that conversations, not turns, carry the evidence.
const ITEMS_A_CONVERSATION: usize = 3;

/// `count` training conversations. A larger count begins with the same conversations.
pub fn training(seed: u64, count: usize) -> Vec<Conversation> {
    (0..count)
        .map(|index| episode(Part::Training, seed, index).conversation)
        .collect()
}

/// `count` agent turns of conversations whose cities, hotels, people and wordings training never
/// shows. Items of one conversation share its cluster.
pub fn test_items(seed: u64, count: usize) -> Suite {
    suite("booking", Part::Test, seed, count)
}

/// `count` agent turns to choose settings on: other cities, hotels and people than in training and
/// in the test, in training's wordings, so that the test's stay unseen.
pub fn development_items(seed: u64, count: usize) -> Suite {
    suite("booking_development", Part::Development, seed, count)
}

/// The conversation with this index; each has its own random stream.
pub(super) fn episode(part: Part, seed: u64, index: usize) -> Episode {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Parts use disjoint ranges of streams.
    rng.set_stream(((part as u64) << 32) | index as u64);
    write(part, &mut rng)
}

fn suite(name: &str, part: Part, seed: u64, count: usize) -> Suite {
    let mut items = Vec::with_capacity(count);
    let mut index = 0;
    while items.len() < count {
        let episode = episode(part, seed, index);
        let cluster = format!("booking-{}-{index:04}", part.name());
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ index as u64);
        let mut chosen: Vec<usize> = (0..episode.turns.len()).collect();
        chosen.shuffle(&mut rng);
        chosen.truncate(ITEMS_A_CONVERSATION.min(count - items.len()));
        chosen.sort_unstable();
        for turn in chosen.into_iter().map(|turn| &episode.turns[turn]) {
            let messages = &episode.conversation.messages;
            debug_assert_eq!(messages[turn.at].role, Role::Assistant);
            items.push(Item {
                id: format!("{cluster}-{:02}", turn.at),
                cluster: cluster.clone(),
                group: None,
                task: Task::Booking {
                    messages: messages[..turn.at].to_vec(),
                    next_steps: turn.next_steps.clone(),
                    known: turn.known.clone(),
                    reference: messages[turn.at].content.clone(),
                },
            });
        }
        index += 1;
    }
    Suite {
        name: name.to_owned(),
        axis: Axis::Proficiency,
        items,
    }
}
