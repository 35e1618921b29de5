use super::*;
use std::io::Write;

const SGD: &str = r#"{"id":"sgd-test-1","source":"x","split":"test","services":["Hotels_1"],"turns":[
{"speaker":"user","text":"A room in Oslo, please.","acts":[],"state":{"Hotels_1":{"slot_values":{"destination":["Oslo","Oslo, Norway"]}}}},
{"speaker":"agent","text":"Which day do you arrive and for how long?","acts":[{"act":"REQUEST","slot":"check_in_date"},{"act":"REQUEST","slot":"number_of_days"}],"state":{}},
{"speaker":"user","text":"Friday, 2 nights.","acts":[],"state":{"Hotels_1":{"slot_values":{"destination":["Oslo"],"check_in_date":["Friday"],"number_of_days":["2"]}}}},
{"speaker":"agent","text":"It is booked for $99.","acts":[{"act":"INFORM","slot":"total_price"},{"act":"NOTIFY_SUCCESS","slot":""}],"state":{}}]}"#;

const STAR: &str = r#"{"id":"star-1","source":"star","split":"test","services":["hotel_book"],"turns":[
{"speaker":"user","text":"I need a room.","acts":[],"state":{}},
{"speaker":"agent","text":"Your name?","acts":[{"act":"ask_name","via":"pick_suggestion"}],"state":{}},
{"speaker":"user","text":"Mark, from the 4th, at the Fjord.","acts":[],"state":{}},
{"speaker":"agent","text":"Hm.","acts":[{"act":"custom","via":"utter"}],"state":{},"service_calls":[{"method":"hotel_book","parameters":{"Name":"api.is_equal_to(\"Fjord\")","StartDate":"\"4th\"","RequestType":"\"Check\""},"result":null,"total_items":0}]},
{"speaker":"user","text":"Well?","acts":[],"state":{}},
{"speaker":"agent","text":"When will you be leaving?","acts":[{"act":"hotel_ask_date_to","via":"pick_suggestion"}],"state":{}}]}"#;

fn file(records: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for record in records {
        writeln!(file, "{}", record.replace('\n', "")).unwrap();
    }
    file
}

fn booking(item: &Item) -> (&[Message], &[NextStep], &BTreeMap<String, String>, &str) {
    match &item.task {
        Task::Booking {
            messages,
            next_steps,
            known,
            reference,
        } => (messages, next_steps, known, reference),
        other => panic!("no booking turn: {other:?}"),
    }
}

#[test]
fn acts_become_steps_with_our_slots_and_states_become_known() {
    let file = file(&[SGD]);
    let suite = suite("hotel_sgd", file.path()).unwrap();
    assert_eq!(suite.items.len(), 2);
    let (messages, next_steps, known, _) = booking(&suite.items[0]);
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].role, Role::System);
    assert_eq!(
        next_steps,
        [NextStep {
            step: Step::Ask,
            slots: vec!["date".into(), "nights".into()]
        }]
    );
    assert_eq!(known, &BTreeMap::from([("city".into(), "Oslo".into())]));
    let (messages, next_steps, known, reference) = booking(&suite.items[1]);
    assert_eq!(messages.len(), 4);
    let steps: Vec<Step> = next_steps.iter().map(|next| next.step).collect();
    assert_eq!(steps, [Step::Inform, Step::Book]);
    assert_eq!(known.len(), 3);
    assert_eq!(reference, "It is booked for $99.");
    assert!(suite.items.iter().all(|item| item.cluster == "sgd-test-1"));
}

#[test]
fn star_allows_the_flow_charts_other_open_questions() {
    let file = file(&[STAR]);
    let suite = suite("hotel_star", file.path()).unwrap();
    // The custom turn gives no item.
    assert_eq!(suite.items.len(), 2);
    let (_, next_steps, known, _) = booking(&suite.items[0]);
    assert!(known.is_empty());
    assert_eq!(
        next_steps[0].slots,
        ["name", "hotel", "date", "checkout", "request"]
    );
    let (_, next_steps, known, _) = booking(&suite.items[1]);
    // The name was asked for; hotel and date were in the query.
    assert_eq!(next_steps[0].slots, ["checkout", "request"]);
    let expected = BTreeMap::from([
        ("date".to_string(), "4th".to_string()),
        ("hotel".to_string(), "Fjord".to_string()),
    ]);
    assert_eq!(known, &expected);
}

#[test]
fn conversations_open_with_our_system_message_and_alternate() {
    let file = file(&[SGD, STAR]);
    let conversations = conversations(file.path()).unwrap();
    assert_eq!(conversations.len(), 2);
    for conversation in conversations {
        let mut roles = conversation.messages.iter().map(|message| message.role);
        assert_eq!(roles.next(), Some(Role::System));
        for (index, role) in roles.enumerate() {
            let expected = if index % 2 == 0 {
                Role::User
            } else {
                Role::Assistant
            };
            assert_eq!(role, expected);
        }
    }
}

#[test]
fn mistakes_name_their_lines_all_at_once() {
    let file = file(&[
        SGD,
        "{\"id\":1}",
        "{\"id\":\"x-1\",\"services\":[],\"turns\":[]}",
    ]);
    let error = suite("broken", file.path()).unwrap_err();
    assert_eq!(error.place.line, Some(2));
    assert!(error.hint.is_some());
    assert_eq!(error.others.len(), 1);
    assert_eq!(error.others[0].place.line, Some(3));
    let missing = suite("missing", Path::new("/nowhere/at/all.jsonl")).unwrap_err();
    assert_eq!(missing.class, crate::error::Class::User);
}
