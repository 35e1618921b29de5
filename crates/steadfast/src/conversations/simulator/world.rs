//! Cities, hotels, names and dates, and the small availability table that a conversation is about.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Which part of the corpus is written. No city, hotel or person occurs in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Learnt from.
    Training,
    /// Chosen on.
    Development,
    /// Reported on.
    Test,
}

impl Part {
    #[cfg(test)]
    pub const ALL: [Part; 3] = [Part::Training, Part::Development, Part::Test];

    /// The word in item ids.
    pub fn name(self) -> &'static str {
        match self {
            Part::Training => "training",
            Part::Development => "development",
            Part::Test => "test",
        }
    }

    /// Cities with hotels.
    pub fn cities(self) -> &'static [&'static str] {
        match self {
            Part::Training => &[
                "Lisbon", "Vienna", "Dublin", "Oslo", "Prague", "Madrid", "Athens", "Bristol",
                "Lyon", "Turin", "Geneva", "Krakow", "Boston", "Denver", "Chicago", "Toronto",
                "Sydney", "Kyoto", "Osaka", "Cairo", "Lima", "Bogota", "Nairobi", "Mumbai",
            ],
            Part::Development => &[
                "Zurich", "Valencia", "Portland", "Delhi", "Quito", "Leeds", "Nice", "Antwerp",
            ],
            Part::Test => &[
                "Helsinki",
                "Seville",
                "Glasgow",
                "Porto",
                "Salzburg",
                "Seattle",
                "Montreal",
                "Melbourne",
                "Sapporo",
                "Tunis",
                "Santiago",
                "Accra",
            ],
        }
    }

    /// First and second words of hotel names; every pair is a hotel.
    pub fn hotel_words(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Part::Training => (
                &[
                    "Harbor", "Rosewood", "Maple", "Grand", "Silver", "Garden", "Royal", "Station",
                    "Castle", "Lakeside", "Bridge", "Sunrise",
                ],
                &["Inn", "House", "Palace", "Lodge", "Court"],
            ),
            Part::Development => (
                &["Amber", "Juniper", "Market", "Copper", "Willow"],
                &["Rest", "Plaza", "Manor"],
            ),
            Part::Test => (
                &[
                    "Falcon", "Orchard", "Velvet", "Northern", "Cedar", "Lantern", "Coral", "Abbey",
                ],
                &["Suites", "Retreat", "Residence", "Terrace"],
            ),
        }
    }

    /// First and family names of customers.
    pub fn people(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Part::Training => (
                &[
                    "Anna", "Peter", "Maria", "James", "Laura", "Tom", "Aisha", "David", "Mei",
                    "Carlos", "Emma", "Ivan", "Sara", "Omar", "Julia", "Ben",
                ],
                &[
                    "Smith", "Novak", "Garcia", "Brown", "Rossi", "Khan", "Keller", "Silva",
                    "Jones", "Tanaka", "Meyer", "Lopez", "Clark", "Dubois", "Patel", "Olsen",
                ],
            ),
            Part::Development => (
                &["Helen", "Marco", "Priya", "Lucas", "Nora", "Samuel"],
                &["Wright", "Costa", "Weber", "Ahmed", "Larsen", "Moreau"],
            ),
            Part::Test => (
                &[
                    "Greta", "Victor", "Yuki", "Daniel", "Fatima", "Oscar", "Irene", "Hugo",
                    "Leila", "Simon",
                ],
                &[
                    "Walker", "Fischer", "Okafor", "Marino", "Hughes", "Sato", "Jansen", "Reyes",
                    "Turner", "Virtanen",
                ],
            ),
        }
    }
}

/// Months that stays fall in; all have at least 30 days.
pub(super) const MONTHS: [&str; 11] = [
    "January",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a hotel may have.
pub(super) const FEATURES: [&str; 8] = [
    "parking",
    "a pool",
    "breakfast",
    "a gym",
    "a garden",
    "a bar",
    "a sauna",
    "a lift",
];

/// One line of the availability table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hotel {
    pub name: String,
    pub city: String,
    /// Euros a night.
    pub price: u32,
    pub feature: &'static str,
    /// The month in which no room is free.
    pub full_in: &'static str,
}

/// The hotels that one conversation is about: two in `cities[0]`, one in `cities[1]`.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub hotels: Vec<Hotel>,
    pub cities: [String; 2],
    /// The reference that the next booking or request gets.
    pub reference: String,
}

impl World {
    /// Draws a table in which every hotel is free in `month`.
    pub fn draw(part: Part, month: &'static str, rng: &mut ChaCha8Rng) -> World {
        let mut cities = part.cities().to_vec();
        cities.shuffle(rng);
        let (first, second) = part.hotel_words();
        let mut first = first.to_vec();
        first.shuffle(rng);
        let mut features = FEATURES.to_vec();
        features.shuffle(rng);
        let other_months: Vec<&'static str> =
            MONTHS.into_iter().filter(|&other| other != month).collect();
        let mut prices: Vec<u32> = (6..26).map(|tens| tens * 10).collect();
        prices.shuffle(rng);
        let hotels = (0..3)
            .map(|index| Hotel {
                name: format!(
                    "{} {}",
                    first[index],
                    second.choose(rng).copied().unwrap_or_default()
                ),
                city: cities[index / 2].to_owned(),
                price: prices[index],
                feature: features[index],
                full_in: other_months.choose(rng).copied().unwrap_or_default(),
            })
            .collect();
        World {
            hotels,
            cities: [cities[0].to_owned(), cities[1].to_owned()],
            reference: format!("HB{}", rng.random_range(1000..10000)),
        }
    }

    /// The agent's job and the table, short enough that a small model can be faithful to it.
    pub fn system_prompt(&self) -> String {
        let mut text = "You book hotel rooms. Ask for what is missing, offer only these hotels, \
                        confirm the details, then book.\n"
            .to_owned();
        for hotel in &self.hotels {
            text.push_str(&format!(
                "{}, {}: {} euros a night, has {}, full in {}.\n",
                hotel.name, hotel.city, hotel.price, hotel.feature, hotel.full_in
            ));
        }
        text.push_str(&format!("Next reference: {}.", self.reference));
        text
    }
}
