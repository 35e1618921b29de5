//! One walk over the task graph: greet → collect what is missing → offer → accept → read back →
//! book → anything else → close, with every detour that the customer brings about.

use super::agent_phrases as agent;
use super::customer::{Customer, Errand, Obstacle, count, guests_text};
use super::customer_phrases as say;
use super::phrasing::{Phrasings, Values};
use super::world::{Hotel, Part, World};
use crate::conversations::{Conversation, Message, Role};
use crate::evaluation::items::{NextStep, Step};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// An agent turn with everything a test item needs.
#[derive(Clone, Debug)]
pub(super) struct AgentTurn {
    /// Its index among the messages.
    pub at: usize,
    /// Every step that is right here; the one the agent takes comes first.
    pub next_steps: Vec<NextStep>,
    /// The slots that the agent's own turn asks for.
    #[cfg_attr(not(test), expect(dead_code, reason = "the property tests read it"))]
    pub asked: Vec<&'static str>,
    /// What the customer had said by then, by slot.
    pub known: BTreeMap<String, String>,
}

/// A finished conversation and its agent turns.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    pub conversation: Conversation,
    pub turns: Vec<AgentTurn>,
}

/// The slots a search needs. `length` is `nights` or `checkout`, whichever the customer gives.
const SEARCH: [&str; 4] = ["city", "date", "length", "guests"];

/// Writes the conversation that `rng` determines.
pub(super) fn write(part: Part, rng: &mut ChaCha8Rng) -> Episode {
    let (customer, world) = Customer::draw(part, rng);
    let system = Message::new(Role::System, world.system_prompt());
    let mut writer = Writer {
        part,
        rng,
        values: customer.values.clone(),
        customer,
        world,
        messages: vec![system],
        turns: Vec::new(),
        known: BTreeMap::new(),
        deferred: None,
    };
    match writer.customer.errand {
        Errand::Book | Errand::Search => writer.stay(),
        Errand::Service => writer.service(),
    }
    Episode {
        conversation: Conversation {
            messages: writer.messages,
        },
        turns: writer.turns,
    }
}

struct Writer<'a> {
    part: Part,
    rng: &'a mut ChaCha8Rng,
    customer: Customer,
    world: World,
    /// What fills the blanks: the customer's values, and those of the hotel being spoken of.
    values: Values,
    messages: Vec<Message>,
    turns: Vec<AgentTurn>,
    known: BTreeMap<String, String>,
    /// The slot whose answer the customer put off.
    deferred: Option<&'static str>,
}

fn step(step: Step) -> NextStep {
    NextStep {
        step,
        slots: Vec::new(),
    }
}

fn ask(slots: &[&'static str]) -> NextStep {
    let mut names = Vec::new();
    for &slot in slots {
        match slot {
            "length" => names.extend(["nights".to_owned(), "checkout".to_owned()]),
            other => names.push(other.to_owned()),
        }
    }
    NextStep {
        step: Step::Ask,
        slots: names,
    }
}

impl Writer<'_> {
    /// Words one move.
    fn word(&mut self, phrasings: &Phrasings) -> String {
        phrasings.say(self.part, self.rng, &self.values)
    }

    fn customer_says(&mut self, text: String) {
        self.messages
            .push(Message::new(Role::User, capitalised(&text)));
    }

    fn agent_says(
        &mut self,
        phrasings: &Phrasings,
        next_steps: Vec<NextStep>,
        asked: Vec<&'static str>,
    ) {
        let text = capitalised(&self.word(phrasings));
        self.turns.push(AgentTurn {
            at: self.messages.len(),
            next_steps,
            asked,
            known: self.known.clone(),
        });
        self.messages.push(Message::new(Role::Assistant, text));
    }

    fn is_known(&self, slot: &str) -> bool {
        match slot {
            "length" => self.known.contains_key("nights") || self.known.contains_key("checkout"),
            other => self.known.contains_key(other),
        }
    }

    fn missing(&self, slots: &[&'static str]) -> Vec<&'static str> {
        slots
            .iter()
            .copied()
            .filter(|slot| !self.is_known(slot))
            .collect()
    }

    /// The customer's words for one slot; from then on it is known.
    fn give(&mut self, slot: &'static str) -> String {
        let checkout = self.customer.says_checkout;
        let (name, phrasings) = match slot {
            "city" => ("city", &say::GIVE_CITY),
            "date" => ("date", &say::GIVE_DATE),
            "length" if checkout => ("checkout", &say::GIVE_CHECKOUT),
            "length" => ("nights", &say::GIVE_NIGHTS),
            "guests" => ("guests", &say::GIVE_GUESTS),
            "name" => ("name", &say::GIVE_NAME),
            "price" => ("price", &say::GIVE_PRICE),
            "features" => ("features", &say::GIVE_FEATURE),
            "room_number" => ("room_number", &say::GIVE_ROOM_NUMBER),
            _ if self.customer.errand == Errand::Service => ("hotel", &say::STAY_AT),
            _ => ("hotel", &say::GIVE_HOTEL),
        };
        let value = self.customer.values.get(name).cloned().unwrap_or_default();
        match name {
            // Blanks of its own, since {price}, {feature} and {hotel} may speak of another hotel.
            "price" => self.values.insert("cap".to_owned(), value.clone()),
            "features" => self.values.insert("feature".to_owned(), value.clone()),
            other => self.values.insert(other.to_owned(), value.clone()),
        };
        self.known.insert(name.to_owned(), value);
        self.word(phrasings)
    }

    fn give_all(&mut self, slots: &[&'static str]) -> String {
        let parts: Vec<String> = slots
            .iter()
            .map(|slot| capitalised(&self.give(slot)))
            .collect();
        parts.join(" ")
    }

    /// An opening turn, after a bare hello if that is the customer's habit.
    fn open(
        &mut self,
        phrasings: &Phrasings,
        volunteered: &[&'static str],
        wanted: &[&'static str],
    ) {
        if self.customer.greets {
            let hello = self.word(&say::HELLO);
            self.customer_says(hello);
            let alternatives = vec![step(Step::Greet), ask(wanted)];
            self.agent_says(&agent::GREET, alternatives, Vec::new());
        }
        let mut text = self.word(phrasings);
        if !volunteered.is_empty() {
            text = format!("{text} {}", self.give_all(volunteered));
        }
        self.customer_says(text);
    }

    /// Asks until every one of `slots` is known. Before an offer, a question for a wish or an early
    /// offer is right too (`early` says which steps those are).
    fn collect(&mut self, slots: &[&'static str], early: fn(&Self) -> Vec<NextStep>) {
        loop {
            let missing = self.missing(slots);
            let open: Vec<&'static str> = missing
                .iter()
                .copied()
                .filter(|&slot| Some(slot) != self.deferred)
                .collect();
            let askable = if open.is_empty() {
                self.deferred = None;
                missing
            } else {
                open
            };
            let Some(&first) = askable.first() else {
                return;
            };
            let both =
                first == "date" && askable.get(1) == Some(&"length") && self.rng.random_bool(0.6);
            let (phrasings, asked) = match first {
                _ if both => (&agent::ASK_DATE_AND_LENGTH, vec!["date", "length"]),
                "city" => (&agent::ASK_CITY, vec!["city"]),
                "date" => (&agent::ASK_DATE, vec!["date"]),
                "length" => (&agent::ASK_LENGTH, vec!["length"]),
                "guests" => (&agent::ASK_GUESTS, vec!["guests"]),
                "name" => (&agent::ASK_NAME, vec!["name"]),
                "room_number" => (&agent::ASK_ROOM_NUMBER, vec!["room_number"]),
                _ => (&agent::ASK_HOTEL, vec!["hotel"]),
            };
            let mut next_steps = vec![ask(&askable)];
            next_steps.extend(early(self));
            self.agent_says(phrasings, next_steps, asked.clone());
            self.answer(&asked, &askable);
        }
    }

    /// The customer's answer to a question, perhaps after a detour.
    fn answer(&mut self, asked: &[&'static str], askable: &[&'static str]) {
        if self.customer.wanders && self.rng.random_bool(0.5) {
            self.customer.wanders = false;
            let text = self.word(&say::OFF_TOPIC);
            self.customer_says(text);
            self.agent_says(
                &agent::OUT_OF_SCOPE,
                vec![step(Step::OutOfScope)],
                Vec::new(),
            );
        } else if self.customer.withholds && asked.len() == 1 && askable.len() > 1 {
            self.customer.withholds = false;
            self.deferred = asked.first().copied();
            let text = self.word(&say::WITHHOLD);
            self.customer_says(text);
            return;
        }
        let mut given = asked.to_vec();
        let extra = askable.iter().copied().find(|slot| !asked.contains(slot));
        if let Some(extra) = extra.filter(|_| self.rng.random_bool(0.25)) {
            given.push(extra);
        }
        let text = self.give_all(&given);
        self.customer_says(text);
    }

    /// Wishes that may be asked for before an offer, and the offer itself once the city is known.
    fn before_offer(&self) -> Vec<NextStep> {
        let mut steps = self.wishes();
        if let Some(wishes) = steps.first_mut().filter(|_| !self.is_known("name")) {
            wishes.slots.push("name".to_owned());
        }
        if self.is_known("city") && !self.free_hotels().is_empty() {
            steps.push(step(Step::Offer));
        }
        steps
    }

    fn wishes(&self) -> Vec<NextStep> {
        let slots = self.missing(&["price", "rooms", "features", "hotel"]);
        if slots.is_empty() {
            Vec::new()
        } else {
            vec![ask(&slots)]
        }
    }

    fn nothing_early(&self) -> Vec<NextStep> {
        Vec::new()
    }

    /// Hotels of the table that fit what is known, a named one first.
    fn free_hotels(&self) -> Vec<Hotel> {
        let month = self
            .known
            .get("date")
            .and_then(|date| date.split(' ').nth(1));
        let cap = self
            .known
            .get("price")
            .and_then(|price| price.parse::<u32>().ok());
        let feature = self.known.get("features");
        let named = self.known.get("hotel");
        let mut hotels: Vec<Hotel> = self
            .world
            .hotels
            .iter()
            .filter(|hotel| {
                self.known
                    .get("city")
                    .is_none_or(|city| *city == hotel.city)
            })
            .filter(|hotel| month.is_none_or(|month| month != hotel.full_in))
            .filter(|hotel| cap.is_none_or(|cap| hotel.price <= cap))
            .filter(|hotel| feature.is_none_or(|feature| feature == hotel.feature))
            .cloned()
            .collect();
        hotels.sort_by_key(|hotel| Some(&hotel.name) != named);
        hotels
    }

    /// From now on {hotel}, {city} and {price} speak of this hotel.
    fn speak_of(&mut self, hotel: &Hotel) {
        for (blank, value) in [
            ("hotel", hotel.name.clone()),
            ("city", hotel.city.clone()),
            ("price", hotel.price.to_string()),
        ] {
            self.values.insert(blank.to_owned(), value);
        }
    }

    /// Booking a stay, or only searching for one.
    fn stay(&mut self) {
        let searching = self.customer.errand == Errand::Search;
        let mut volunteered: Vec<&'static str> = SEARCH.to_vec();
        volunteered.shuffle(self.rng);
        let few = self.rng.random_range(0..4usize);
        volunteered.truncate(few);
        for wish in ["price", "features", "hotel"] {
            if self.customer.values.contains_key(wish) {
                volunteered.push(wish);
            }
        }
        if self.customer.obstacle == Obstacle::None && !searching && self.rng.random_bool(0.1) {
            volunteered.push("name");
        }
        let opening = if searching {
            &say::OPEN_SEARCH
        } else {
            &say::OPEN_BOOKING
        };
        self.open(opening, &volunteered, &SEARCH);
        self.collect(&SEARCH, Self::before_offer);

        let Some(hotel) = self.settle_on_hotel() else {
            return;
        };
        if searching {
            let text = self.word(&say::THAT_IS_ALL);
            self.customer_says(text);
            self.agent_says(&agent::CLOSE, vec![step(Step::Close)], Vec::new());
            return;
        }
        self.known.insert("hotel".to_owned(), hotel.name);
        self.collect(&["name"], Self::nothing_early);
        self.read_back(&agent::CONFIRM, true);
        self.finish(&agent::BOOK);
    }

    /// Offers until the customer has decided; the customer's last word has then been said, except
    /// when only searching. `None` if the table has nothing, which the draw rules out.
    fn settle_on_hotel(&mut self) -> Option<Hotel> {
        let mut free = self.free_hotels();
        if free.is_empty() {
            let other = self.world.cities[1].clone();
            self.values.insert("other_city".to_owned(), other.clone());
            self.agent_says(&agent::DECLINE_CITY, vec![step(Step::Decline)], Vec::new());
            self.customer
                .values
                .insert("city".to_owned(), other.clone());
            self.values.insert("city".to_owned(), other.clone());
            self.known.insert("city".to_owned(), other);
            self.known.remove("hotel");
            let text = self.word(&say::TRY_CITY);
            self.customer_says(text);
            free = self.free_hotels();
        }
        let first = free.first()?.clone();
        let named = self
            .known
            .get("hotel")
            .cloned()
            .filter(|name| *name != first.name);
        self.speak_of(&first);
        if let Some(full) = named {
            self.values.insert("full_hotel".to_owned(), full);
            let alternatives = vec![step(Step::Decline), step(Step::Offer)];
            self.agent_says(&agent::DECLINE_HOTEL, alternatives, Vec::new());
            self.known.remove("hotel");
        } else {
            let mut alternatives = vec![step(Step::Offer)];
            alternatives.extend(self.wishes());
            self.agent_says(&agent::OFFER, alternatives, Vec::new());
        }

        let mut current = first.clone();
        let mut accept = &say::ACCEPT;
        if self.customer.asks {
            self.question(&current);
        }
        if self.customer.wants_other {
            let text = self.word(&say::ASK_OTHER);
            self.customer_says(text);
            match free.get(1).cloned() {
                Some(other) => {
                    self.speak_of(&other);
                    self.agent_says(&agent::OFFER_OTHER, vec![step(Step::Offer)], Vec::new());
                    if self.rng.random_bool(0.6) {
                        current = other;
                    } else {
                        self.speak_of(&first);
                        accept = &say::ACCEPT_FIRST;
                    }
                }
                None => {
                    self.agent_says(&agent::DECLINE_OTHER, vec![step(Step::Decline)], Vec::new());
                    accept = &say::ACCEPT_FIRST;
                }
            }
        }
        if self.customer.errand == Errand::Book {
            let text = self.word(accept);
            self.customer_says(text);
        }
        Some(current)
    }

    /// A question about the hotel on offer, and the answer from the table.
    fn question(&mut self, hotel: &Hotel) {
        if self.rng.random_bool(0.35) {
            let text = self.word(&say::ASK_PRICE);
            self.customer_says(text);
            self.agent_says(&agent::INFORM_PRICE, vec![step(Step::Inform)], Vec::new());
            return;
        }
        let feature = self.customer.curious_about(hotel.feature, self.rng);
        let plain = feature.strip_prefix("a ").unwrap_or(feature);
        for (blank, value) in [
            ("feature", feature),
            ("plain_feature", plain),
            ("other_feature", hotel.feature),
        ] {
            self.values.insert(blank.to_owned(), value.to_owned());
        }
        let text = self.word(&say::ASK_FEATURE);
        self.customer_says(text);
        let answer = if feature == hotel.feature {
            &agent::INFORM_HAS
        } else {
            &agent::INFORM_LACKS
        };
        self.agent_says(answer, vec![step(Step::Inform)], Vec::new());
    }

    /// The length of stay and the guests as a read-back words them.
    fn refresh_read_back(&mut self) {
        let nights = self
            .known
            .get("nights")
            .and_then(|nights| nights.parse().ok());
        let length = match (nights, self.known.get("checkout")) {
            (Some(nights), _) => count(nights, "night"),
            (None, Some(checkout)) => format!("until {checkout}"),
            (None, None) => String::new(),
        };
        self.values.insert("length".to_owned(), length);
        if let Some(guests) = self
            .known
            .get("guests")
            .and_then(|guests| guests.parse().ok())
        {
            self.values
                .insert("guests".to_owned(), count(guests, "guest"));
        }
    }

    /// Reads the details back until they are right.
    fn read_back(&mut self, phrasings: &Phrasings, may_change: bool) {
        self.refresh_read_back();
        self.agent_says(phrasings, vec![step(Step::Confirm)], Vec::new());
        if may_change && self.customer.changes {
            self.customer.changes = false;
            let text = format!("{} {}", self.word(&say::CHANGE), self.changed_detail());
            self.customer_says(text);
            self.refresh_read_back();
            self.agent_says(phrasings, vec![step(Step::Confirm)], Vec::new());
        }
        let text = self.word(&say::SAY_YES);
        self.customer_says(text);
    }

    /// A new number of guests or nights, in the customer's words.
    fn changed_detail(&mut self) -> String {
        let other_than = |old: Option<&String>, limit: u32| {
            let old = old.and_then(|old| old.parse::<u32>().ok()).unwrap_or(1);
            old % limit + 1
        };
        if self.known.contains_key("nights") && self.rng.random_bool(0.5) {
            let nights = other_than(self.known.get("nights"), 7);
            self.customer
                .values
                .insert("nights".to_owned(), nights.to_string());
            self.values
                .insert("nights_text".to_owned(), count(nights, "night"));
            capitalised(&self.give("length"))
        } else {
            let guests = other_than(self.known.get("guests"), 5);
            self.customer
                .values
                .insert("guests".to_owned(), guests.to_string());
            self.values
                .insert("guests_text".to_owned(), guests_text(guests));
            capitalised(&self.give("guests"))
        }
    }

    /// Books, asks what else there is, and says goodbye.
    fn finish(&mut self, phrasings: &Phrasings) {
        self.values
            .insert("reference".to_owned(), self.world.reference.clone());
        self.agent_says(phrasings, vec![step(Step::Book)], Vec::new());
        if self.rng.random_bool(0.7) {
            let text = self.word(&say::THANKS);
            self.customer_says(text);
            let alternatives = vec![step(Step::AnythingElse), step(Step::Close)];
            self.agent_says(&agent::ANYTHING_ELSE, alternatives, Vec::new());
        }
        let text = self.word(&say::THAT_IS_ALL);
        self.customer_says(text);
        self.agent_says(&agent::CLOSE, vec![step(Step::Close)], Vec::new());
    }

    /// A guest's request.
    fn service(&mut self) {
        const NEEDED: [&str; 2] = ["hotel", "room_number"];
        let volunteered: &[&'static str] = match self.rng.random_range(0..3) {
            0 => &[],
            1 => &["room_number"],
            _ => &["hotel"],
        };
        self.open(
            &say::OPEN_SERVICE,
            volunteered,
            &["request", "hotel", "room_number", "name"],
        );
        if let Some(request) = self.customer.values.get("request").cloned() {
            self.known.insert("request".to_owned(), request);
        }
        self.collect(&NEEDED, |writer| {
            vec![ask(&writer.missing(&["name", "time"]))]
        });
        self.read_back(&agent::CONFIRM_REQUEST, false);
        self.finish(&agent::BOOK_REQUEST);
    }
}

/// The first letter made a capital, as a sentence begins.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
