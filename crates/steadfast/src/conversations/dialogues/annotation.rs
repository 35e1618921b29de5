//! What the three corpora call things, in our words.

use crate::evaluation::items::Step;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where a dialogue comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// Schema-Guided Dialogue.
    Sgd,
    /// STAR.
    Star,
    /// MultiWOZ 2.0.
    MultiWoz,
}

impl Source {
    /// From the beginning of the id.
    pub(super) fn of(id: &str) -> Option<Self> {
        match id.split('-').next()? {
            "sgd" => Some(Source::Sgd),
            "star" => Some(Source::Star),
            "multiwoz" => Some(Source::MultiWoz),
            _ => None,
        }
    }
}

/// The steps an act stands for, with the slots it asks for. Empty: the act names no step.
pub(super) fn steps(source: Source, act: &str, slot: &str) -> Vec<(Step, Vec<String>)> {
    match source {
        Source::Sgd => sgd_steps(act, slot),
        Source::Star => star_steps(act),
        Source::MultiWoz => multiwoz_steps(act, slot),
    }
}

fn plain(step: Step) -> Vec<(Step, Vec<String>)> {
    vec![(step, Vec::new())]
}

fn ask(slots: &[&str]) -> Vec<(Step, Vec<String>)> {
    let slots = slots.iter().map(|slot| (*slot).to_string()).collect();
    vec![(Step::Ask, slots)]
}

fn sgd_steps(act: &str, slot: &str) -> Vec<(Step, Vec<String>)> {
    match act {
        "OFFER" | "INFORM_COUNT" => plain(Step::Offer),
        // Asks leave to book; see Step::Confirm in the step matcher.
        "OFFER_INTENT" | "CONFIRM" => plain(Step::Confirm),
        "REQUEST" => ask(&[&canonical_slot(slot)]),
        "INFORM" => plain(Step::Inform),
        "NOTIFY_SUCCESS" => plain(Step::Book),
        "NOTIFY_FAILURE" => plain(Step::Decline),
        "REQ_MORE" => plain(Step::AnythingElse),
        "GOODBYE" => plain(Step::Close),
        _ => Vec::new(),
    }
}

fn star_steps(label: &str) -> Vec<(Step, Vec<String>)> {
    match label {
        "hello" => plain(Step::Greet),
        "ask_name" => ask(&["name"]),
        "hotel_ask_hotel" | "hotel_ask_name" => ask(&["hotel"]),
        "hotel_ask_date_from" => ask(&["date"]),
        "hotel_ask_date_to" => ask(&["checkout"]),
        "hotel_ask_customer_request" | "hotel_ask_service_request" => ask(&["request"]),
        "hotel_ask_location" => ask(&["city"]),
        "hotel_ask_price" => ask(&["price"]),
        "hotel_ask_rating" => ask(&["rating"]),
        "hotel_ask_room_number" => ask(&["room_number"]),
        "hotel_ask_time" => ask(&["time"]),
        "hotel_inform_search_criteria" => ask(&["hotel", "city", "price", "rating"]),
        "hotel_ask_confirm_booking" => plain(Step::Confirm),
        "hotel_provide_search_result" => plain(Step::Offer),
        "hotel_inform_name"
        | "hotel_inform_location"
        | "hotel_inform_price"
        | "hotel_inform_rating" => plain(Step::Inform),
        "hotel_reservation_succeeded" | "hotel_inform_service_request_successful" => {
            plain(Step::Book)
        }
        "hotel_unavailable"
        | "hotel_reservation_failed"
        | "hotel_inform_nothing_found"
        | "hotel_inform_service_request_failed" => plain(Step::Decline),
        "anything_else" | "hotel_ask_search_more" => plain(Step::AnythingElse),
        "goodbye_1" => plain(Step::Close),
        "out_of_scope" => plain(Step::OutOfScope),
        // `custom`: typed freely, named by nobody.
        _ => Vec::new(),
    }
}

fn multiwoz_steps(act: &str, slot: &str) -> Vec<(Step, Vec<String>)> {
    match act {
        "Hotel-Request" | "Booking-Request" => ask(&[&canonical_slot(slot)]),
        "Hotel-Recommend" | "Hotel-Select" => plain(Step::Offer),
        // One name for "there are three" and for "its phone number is …".
        "Hotel-Inform" => vec![(Step::Inform, Vec::new()), (Step::Offer, Vec::new())],
        // "Shall I book it?", sometimes with the details read back.
        "Booking-Inform" => plain(Step::Confirm),
        "Booking-Book" => plain(Step::Book),
        "Hotel-NoOffer" | "Booking-NoBook" => plain(Step::Decline),
        "general-reqmore" => plain(Step::AnythingElse),
        "general-bye" | "general-welcome" => plain(Step::Close),
        "general-greet" => plain(Step::Greet),
        _ => Vec::new(),
    }
}

/// The questions of a STAR task's flow chart (`tasks/<task>.json`).
pub(super) fn star_questions(task: &str) -> &'static [&'static str] {
    match task {
        "hotel_book" => &["name", "hotel", "date", "checkout", "request"],
        "hotel_search" => &["hotel", "city", "price", "rating"],
        "hotel_service_request" => &["name", "hotel", "room_number", "request", "time"],
        _ => &[],
    }
}

/// A source's slot name in ours; unknown names stay as they are, in lower case.
pub(super) fn canonical_slot(slot: &str) -> String {
    let lower = slot.to_lowercase();
    let name = match lower.as_str() {
        "hotel_name" | "place_name" => "hotel",
        "star_rating" | "average_rating" | "averagerating" | "stars" => "rating",
        "number_of_rooms" => "rooms",
        "number_of_adults" | "people" => "guests",
        "number_of_days" | "stay_length" | "stay" => "nights",
        "check_in_date" | "startdate" | "day" => "date",
        "check_out_date" | "enddate" => "checkout",
        "where_to" | "location" | "destination" | "area" => "city",
        "price_per_night" | "total_price" | "pricerange" | "cost" => "price",
        "has_wifi" | "pets_welcome" | "has_laundry_service" | "parking" | "internet" | "type" => {
            "features"
        }
        "smoking_allowed" => "smoking",
        "phone_number" => "phone",
        "street_address" => "address",
        "customername" => "name",
        "customerrequest" => "request",
        "roomnumber" => "room_number",
        other => other,
    };
    name.to_string()
}

/// Slot values given so far, from the state annotated on a user turn (SGD, MultiWOZ).
pub(super) fn known_from_state(
    source: Source,
    state: &Map<String, Value>,
) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for service in state.values() {
        match source {
            Source::Sgd => {
                let values = service.get("slot_values").and_then(Value::as_object);
                for (slot, surfaces) in values.into_iter().flatten() {
                    // A list of surface forms that mean the same.
                    let first = surfaces.as_array().and_then(|surfaces| surfaces.first());
                    if let Some(value) = first.and_then(Value::as_str) {
                        known.insert(canonical_slot(slot), value.to_string());
                    }
                }
            }
            Source::MultiWoz => {
                // The slots of `semi` name the hotel (its `name`); those of `book` the stay.
                for part in ["semi", "book"] {
                    let values = service.get(part).and_then(Value::as_object);
                    for (slot, value) in values.into_iter().flatten() {
                        let Some(value) = value.as_str() else {
                            continue;
                        };
                        if value.is_empty() || value == "not mentioned" {
                            continue;
                        }
                        let slot = if slot == "name" { "hotel_name" } else { slot };
                        known.insert(canonical_slot(slot), value.to_string());
                    }
                }
            }
            Source::Star => {}
        }
    }
    known
}

/// Adds what a STAR query carries: the customer said it, or the agent could not have typed it in.
/// Values are the source's expressions: `"4th"`, `301`, `api.is_equal_to("Hilton Hotel")`.
pub(super) fn add_parameters(
    parameters: &Map<String, Value>,
    known: &mut BTreeMap<String, String>,
) {
    for (name, expression) in parameters {
        if matches!(
            name.as_str(),
            "RequestType" | "Service" | "TakesReservations"
        ) {
            continue;
        }
        let expression = match expression {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = match expression.split('"').nth(1) {
            Some(quoted) => quoted,
            None if expression.starts_with("api.") => continue,
            None => expression.as_str(),
        };
        if value.trim().is_empty() {
            continue;
        }
        let slot = if name == "Name" { "hotel_name" } else { name };
        known.insert(canonical_slot(slot), value.to_string());
    }
}
