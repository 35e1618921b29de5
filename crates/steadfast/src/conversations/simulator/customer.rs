//! What one customer wants and how they behave, drawn from a seed.

use super::phrasing::Values;
use super::world::{FEATURES, MONTHS, Part, World};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// What the customer came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Book a room.
    Book,
    /// Only learn what is free.
    Search,
    /// A guest who wants something brought or done.
    Service,
}

/// What stands in the way of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Nothing.
    None,
    /// The hotel the customer names is full in that month.
    HotelFull,
    /// Every hotel in the first city is full in that month.
    CityFull,
}

/// A seeded customer. Odd habits come with fixed odds, each at most once a conversation.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub errand: Errand,
    pub obstacle: Obstacle,
    /// Everything the customer could tell, by slot; some of it only when asked.
    pub values: Values,
    /// Gives the check-out date rather than the number of nights.
    pub says_checkout: bool,
    /// Says only hello at first.
    pub greets: bool,
    /// Will put off one answer.
    pub withholds: bool,
    /// Will say something that no booking agent can help with.
    pub wanders: bool,
    /// Will ask about the price or a feature of the hotel on offer.
    pub asks: bool,
    /// Will want to hear of another hotel.
    pub wants_other: bool,
    /// Will change a detail at the read-back.
    pub changes: bool,
}

/// What guests ask the hotel for; training and test never share one.
pub(super) fn requests(part: Part) -> &'static [&'static str] {
    match part {
        Part::Training => &[
            "extra towels",
            "a late check-out",
            "a baby bed",
            "a bottle of water",
            "room cleaning",
            "a wake-up call",
            "an iron",
            "a taxi to the station",
        ],
        Part::Development => &["a hair dryer", "a second key", "more soap"],
        Part::Test => &[
            "an extra pillow",
            "a warm blanket",
            "a pot of tea",
            "help with luggage",
        ],
    }
}

impl Customer {
    /// Draws a customer and the table that suits them.
    pub fn draw(part: Part, rng: &mut ChaCha8Rng) -> (Customer, World) {
        let month = MONTHS.choose(rng).copied().unwrap_or_default();
        let mut world = World::draw(part, month, rng);
        let errand = match rng.random_range(0..100) {
            0..76 => Errand::Book,
            76..88 => Errand::Search,
            _ => Errand::Service,
        };
        let obstacle = match rng.random_range(0..100) {
            0..72 => Obstacle::None,
            72..86 => Obstacle::HotelFull,
            _ => Obstacle::CityFull,
        };
        let mut values = Values::new();
        let mut set = |slot: &str, value: String| values.insert(slot.to_owned(), value);
        match obstacle {
            _ if errand == Errand::Service => {}
            Obstacle::None => {}
            Obstacle::HotelFull => world.hotels[0].full_in = month,
            Obstacle::CityFull => {
                for hotel in &mut world.hotels[..2] {
                    hotel.full_in = month;
                }
            }
        }
        // A plain search may start in either city; an obstacle stands in the first.
        let wanted = match obstacle {
            Obstacle::None => world.hotels.choose(rng).cloned(),
            Obstacle::HotelFull | Obstacle::CityFull => world.hotels.first().cloned(),
        };
        let day = rng.random_range(1..=20u32);
        let nights = rng.random_range(1..=7u32);
        let guests = rng.random_range(1..=5u32);
        set("date", format!("{day} {month}"));
        set("month", month.to_owned());
        set("nights", nights.to_string());
        set("nights_text", count(nights, "night"));
        set("checkout", format!("{} {month}", day + nights));
        set("guests", guests.to_string());
        set("guests_text", guests_text(guests));
        let (first, last) = part.people();
        set(
            "name",
            format!(
                "{} {}",
                first.choose(rng).copied().unwrap_or_default(),
                last.choose(rng).copied().unwrap_or_default()
            ),
        );
        set(
            "request",
            requests(part)
                .choose(rng)
                .copied()
                .unwrap_or_default()
                .to_owned(),
        );
        set("room_number", rng.random_range(101..600u32).to_string());
        if let Some(hotel) = wanted {
            set("city", hotel.city.clone());
            if errand == Errand::Service || obstacle == Obstacle::HotelFull || rng.random_bool(0.1)
            {
                set("hotel", hotel.name.clone());
            } else if obstacle == Obstacle::None && rng.random_bool(0.2) {
                set("price", (hotel.price + 10).to_string());
            } else if obstacle == Obstacle::None && rng.random_bool(0.25) {
                set("features", hotel.feature.to_owned());
            }
        }
        let customer = Customer {
            errand,
            obstacle,
            values,
            says_checkout: rng.random_bool(0.3),
            greets: rng.random_bool(0.25),
            withholds: rng.random_bool(0.15),
            wanders: rng.random_bool(0.15),
            asks: rng.random_bool(0.4),
            wants_other: rng.random_bool(0.25),
            changes: rng.random_bool(0.25),
        };
        (customer, world)
    }

    /// A feature to ask about: usually one that a hotel has or might have.
    pub fn curious_about(&self, has: &'static str, rng: &mut ChaCha8Rng) -> &'static str {
        if rng.random_bool(0.5) {
            has
        } else {
            FEATURES.choose(rng).copied().unwrap_or(has)
        }
    }
}

/// `3 nights`, `1 night`.
pub(super) fn count(number: u32, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// `2 people`, `1 person`.
pub(super) fn guests_text(number: u32) -> String {
    if number == 1 {
        "1 person".to_owned()
    } else {
        format!("{number} people")
    }
}
