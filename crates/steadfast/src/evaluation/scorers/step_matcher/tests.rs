use super::*;
use proptest::prelude::*;

fn step(reply: &str) -> Option<Step> {
    match_step(reply).step
}

fn slots(reply: &str) -> Vec<String> {
    let matched = match_step(reply);
    assert_eq!(matched.step, Some(Step::Ask), "{reply}");
    matched.slots
}

#[test]
fn each_step_is_recognised_in_several_wordings() {
    let table: &[(Step, &[&str])] = &[
        (
            Step::Greet,
            &[
                "Hello! How may I help you?",
                "Good morning, how can I assist you today?",
            ],
        ),
        (
            Step::Offer,
            &[
                "I found the Harbour Lodge, rated 4.2 stars.",
                "There are 6 hotels in Oslo. I would suggest the Fjord Inn.",
                "How about the Linden House? It has a rating of 3.9.",
            ],
        ),
        (
            Step::Inform,
            &[
                "It is located at 12 Quay Street.",
                "Their phone number is +47 22 33 44 55.",
                "Yes, they have free wifi and parking.",
                "It costs $120 per night.",
                "Unfortunately they do not allow pets.",
            ],
        ),
        (
            Step::Confirm,
            &[
                "So that is two rooms in Oslo from 4 May to 7 May, is that right?",
                "Please confirm: one room at the Fjord Inn, checking in tomorrow.",
                "Shall I book it for you?",
                "Would you like me to make the reservation?",
            ],
        ),
        (
            Step::Book,
            &[
                "Your room is booked. Is there anything else I can do for you?",
                "I have made your reservation.",
                "The booking was successful, the reference number is AB12CD.",
                "Done! Your stay at the Fjord Inn is confirmed.",
            ],
        ),
        (
            Step::Decline,
            &[
                "I'm sorry, the Fjord Inn is fully booked on those dates.",
                "Unfortunately, I could not make the reservation.",
                "There are no rooms available that week.",
            ],
        ),
        (
            Step::AnythingElse,
            &[
                "Is there anything else I can help you with?",
                "Anything else?",
            ],
        ),
        (
            Step::Close,
            &[
                "You're welcome. Have a great day!",
                "Goodbye, enjoy your stay.",
                "Thank you, bye.",
            ],
        ),
        (
            Step::OutOfScope,
            &[
                "I'm sorry, I can only help with hotel bookings.",
                "I don't understand what you mean.",
            ],
        ),
    ];
    for (expected, replies) in table {
        for reply in *replies {
            assert_eq!(step(reply), Some(*expected), "{reply}");
        }
    }
}

#[test]
fn questions_name_their_slots() {
    assert_eq!(slots("Which city are you travelling to?"), ["city"]);
    assert_eq!(slots("When would you like to check in?"), ["date"]);
    assert_eq!(slots("When do you check out?"), ["checkout"]);
    assert_eq!(slots("How many nights will you be staying?"), ["nights"]);
    assert_eq!(slots("How many guests will there be?"), ["guests"]);
    assert_eq!(slots("May I have your name, please?"), ["name"]);
    assert_eq!(slots("How many rooms do you need?"), ["rooms"]);
    assert_eq!(slots("What is your price range?"), ["price"]);
    assert_eq!(
        slots("Could you tell me your room number?"),
        ["room_number"]
    );
    assert_eq!(
        slots("When do you arrive, and when are you leaving?"),
        ["checkout", "date"]
    );
}

#[test]
fn nothing_is_matched_in_silence_and_off_the_domain() {
    for reply in [
        "",
        "  \n",
        "The mitochondria make energy.",
        "Photosynthesis turns light into sugar",
    ] {
        assert_eq!(match_step(reply), Matched::default(), "{reply}");
    }
    assert_eq!(Matched::default().to_string(), "none");
}

#[test]
fn tokenised_text_reads_as_plain_text() {
    for (tokenised, plain) in [
        (
            "I 'm sorry , I could n't book it .",
            "I'm sorry, I couldn't book it.",
        ),
        ("You 're welcome . Goodbye !", "You're welcome. Goodbye!"),
    ] {
        assert_eq!(tidy(tokenised), tidy(plain));
        assert_eq!(match_step(tokenised), match_step(plain));
    }
}

#[test]
fn asking_is_right_only_for_what_is_missing() {
    let next = [NextStep {
        step: Step::Ask,
        slots: vec!["date".into(), "checkout".into()],
    }];
    let nothing = BTreeMap::new();
    let city = BTreeMap::from([("city".to_string(), "Oslo".to_string())]);
    let right = |reply: &str, known| match_step(reply).is_right(&next, known);
    assert!(right("When are you arriving?", &nothing));
    assert!(right("How many nights will you stay?", &nothing));
    assert!(!right("Which city?", &nothing));
    assert!(right("Which city, and when do you arrive?", &nothing));
    assert!(!right("Which city, and when do you arrive?", &city));
    assert!(!right("Your room is booked.", &nothing));
    assert!(!right("", &nothing));
}

proptest! {
    #[test]
    fn any_text_is_matched_without_panic_and_slots_go_with_asking(reply in "\\PC{0,120}") {
        let matched = match_step(&reply);
        prop_assert_eq!(matched.step == Some(Step::Ask), !matched.slots.is_empty());
        prop_assert_eq!(match_step(&reply), matched);
    }

    #[test]
    fn case_and_spacing_do_not_matter(words in proptest::collection::vec(
        "(when|you|arrive|room|booked|is|the|sorry|no|hotel|\\?|enjoy|name)", 1..9)) {
        let plain = words.join(" ");
        let loud = words.join("  \n").to_uppercase();
        prop_assert_eq!(match_step(&plain), match_step(&loud));
    }
}
