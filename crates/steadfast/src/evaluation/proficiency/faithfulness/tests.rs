use super::*;
use crate::conversations::Role;
use proptest::prelude::*;

fn missing(given: &str, reply: &str) -> Vec<String> {
    unsupported(&[Message::new(Role::User, given)], reply)
}

fn faithful(given: &str, reply: &str) {
    let missing = missing(given, reply);
    assert!(missing.is_empty(), "{given} / {reply}: {missing:?}");
}

#[test]
fn replies_without_values_are_faithful() {
    for reply in [
        "",
        "How many nights will you stay?",
        "Sure. Which city would you like?",
        "Great! Is there anything else I can do for you?",
        "One moment, please. I'm happy to help.",
    ] {
        faithful("Hello", reply);
    }
}

#[test]
fn a_value_counts_in_any_of_its_forms() {
    faithful("two rooms please", "That is 2 rooms, right?");
    faithful("a room for 3", "A room for three people?");
    faithful("a room", "So 1 room?");
    faithful("from the 4th of May", "You arrive on May 4th?");
    faithful("from may fourth", "Arriving 4 May?");
    faithful("free from 2019-03-04", "It is free from March 4th.");
    faithful("at 3 pm", "We will come at 3:00 PM.");
    faithful("at 15:00", "We will come at 3 pm.");
    faithful("around 3", "We will come at 3 pm.");
    faithful("at noon", "We will come at 12 pm.");
    faithful("it costs $1,200", "The total is 1200 dollars.");
    faithful("rated 3.5", "It has a rating of 3.50 stars.");
    faithful("in nyc", "Hotels in New York, right?");
    faithful("the hilton hotel", "Alright, the Hilton Hotel is free.");
    faithful("call +1 404-965-7992", "Their number is +14049657992.");
    faithful("reference QX81ZZ7", "Your reference is QX81ZZ7.");
}

#[test]
fn computed_nights_and_totals_are_supported() {
    faithful("from 4 May to 7 May", "That is 3 nights.");
    faithful("$120 a night for 3 nights", "The total is $360.");
    assert_eq!(
        missing("from 4 May to 7 May", "That is 5 nights."),
        ["5 nights"]
    );
    assert_eq!(
        missing("$120 a night for 3 nights", "The total is $370."),
        ["$370"]
    );
}

#[test]
fn invented_values_are_found() {
    assert_eq!(missing("a room in Oslo", "I booked 2 rooms."), ["2"]);
    assert_eq!(
        missing("a room in Oslo", "I found the Fjord Inn."),
        ["Fjord"]
    );
    assert_eq!(missing("at 3 pm", "We will come at 4 pm."), ["4 pm"]);
    assert_eq!(missing("at 3 pm", "We will come at 3 am."), ["3 am"]);
    assert_eq!(missing("on 4 May", "You arrive on June 4th?"), ["June 4th"]);
    assert_eq!(missing("on Monday", "You arrive on Tuesday?"), ["Tuesday"]);
    assert_eq!(missing("a room", "Your reference is QX81ZZ7."), ["QX81ZZ7"]);
    assert_eq!(
        missing("a room", "Call +1 404-965-7992."),
        ["+1 404-965-7992"]
    );
    assert_eq!(missing("a room", "It costs $99 per night."), ["$99"]);
    assert_eq!(
        missing("a room", "Hilton Garden is free for ten."),
        ["ten", "Hilton Garden"]
    );
}

proptest! {
    #[test]
    fn repeating_the_customer_is_always_faithful(
        nights in 2u32..30, day in 1u32..29, price in 10u32..999, hour in 1u32..12,
    ) {
        let text = format!(
            "I want {nights} nights from March {day} at the Fjord Inn in Oslo for ${price}, arriving at {hour} pm."
        );
        prop_assert_eq!(missing(&text, &text), Vec::<String>::new());
    }

    #[test]
    fn any_text_is_read_without_panic(given in "\\PC{0,80}", reply in "\\PC{0,80}") {
        let _ = missing(&given, &reply);
    }
}
