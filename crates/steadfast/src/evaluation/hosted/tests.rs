//! A model behind servers that tell log-probabilities, and behind those that do not.

use super::*;
use crate::conversations::Role;
use crate::providers::emulators::http::{Emulator, Reaction, Request};
use crate::providers::emulators::openai;
use std::time::Duration;

fn connection(url: &str) -> Connection {
    Connection::new("openai", url, None, Duration::from_secs(10)).unwrap()
}

fn subject(connection: &Connection) -> HostedSubject<'_> {
    HostedSubject::new(
        connection,
        openai::BASE,
        3,
        Patience {
            attempts: 3,
            first: Duration::from_millis(2),
            longest: Duration::from_millis(200),
        },
    )
}

fn ask(prompt: Prompt, continuations: &[&str]) -> Ask {
    Ask {
        prompt,
        continuations: continuations
            .iter()
            .map(|text| (*text).to_owned())
            .collect(),
    }
}

fn chat(text: &str) -> Prompt {
    Prompt::Chat(vec![Message::new(Role::User, text)])
}

/// One token a word, each a nat dearer than its place among the words; `best` is the likeliest.
fn told(words: &[&str]) -> Vec<(String, f64, bool)> {
    words
        .iter()
        .zip(1..)
        .map(|(word, place)| ((*word).to_owned(), -f64::from(place), *word != " dear"))
        .collect()
}

/// A server that tells all, with a token a word.
fn telling(request: &Request) -> Reaction {
    let body = &request.body;
    if request.path() == "completions" {
        assert_eq!(
            (&body["echo"], &body["logprobs"]),
            (&json!(true), &json!(1))
        );
        let prompt = body["prompt"].as_str().unwrap();
        let words: Vec<&str> = prompt.split_inclusive(' ').collect();
        // Spaces stand before words, as tokenizers have them.
        let mut pieces = vec![words[0].trim_end().to_owned()];
        pieces.extend(
            words[1..]
                .iter()
                .map(|word| format!(" {}", word.trim_end())),
        );
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let scored = told(&pieces);
        let mut offset = 0;
        let mut offsets = Vec::new();
        for (word, _, _) in &scored {
            offsets.push(offset);
            offset += word.chars().count();
        }
        let mut values: Vec<Value> = scored.iter().map(|(_, value, _)| json!(value)).collect();
        values[0] = Value::Null;
        let mut tops: Vec<Value> = scored
            .iter()
            .map(|(word, value, best)| json!({word: value, "other": if *best { value - 1.0 } else { value + 0.5 }}))
            .collect();
        // The token that had to be written.
        offsets.push(offset);
        values.push(json!(-0.25));
        tops.push(json!({"x": -0.25}));
        return Reaction::json(&json!({"choices": [{"text": "", "logprobs": {
            "tokens": [], "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets,
        }}]}));
    }
    let mut entries = vec![Value::Null, json!({"1": {"logprob": -9.0, "rank": 7}})];
    if body["continue_final_message"] == true {
        assert_eq!(body["add_generation_prompt"], false);
        let last = body["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(last["role"], "assistant");
        let words: Vec<&str> = last["content"].as_str().unwrap().split(' ').collect();
        for (word, place) in words.iter().zip(1..) {
            let rank = if *word == "dear" { 2 } else { 1 };
            entries.push(json!({"5": {"logprob": -f64::from(place), "rank": rank}, "6": {"logprob": 0.0, "rank": 1}}));
        }
    }
    Reaction::json(&json!({"choices": [{"message": {"content": "a"}}], "prompt_logprobs": entries}))
}

#[test]
fn replies_come_in_order_and_turns_go_without_weights() {
    let server = Emulator::start(|_, request| {
        let text = request.body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .to_owned();
        Reaction::json(&openai::completion("m", &format!("to {text}")))
    });
    let connection = connection(&server.url);
    let mut message = Message::new(Role::User, "7");
    message.weight = Some(0);
    let mut prompts: Vec<Prompt> = (0..7).map(|number| chat(&number.to_string())).collect();
    prompts.push(Prompt::Chat(vec![message]));
    let mut heard = Vec::new();
    let replies = subject(&connection)
        .replies(&prompts, 5, &mut |done| heard.push(done))
        .unwrap();
    let expected: Vec<String> = (0..8).map(|number| format!("to {number}")).collect();
    assert_eq!(replies, expected);
    assert_eq!(heard, [1, 2, 3, 4, 5, 6, 7, 8]);
    let asked = server.requests();
    assert!(
        asked
            .iter()
            .all(|one| one.body["messages"][0].get("weight").is_none())
    );
    assert_eq!(
        (&asked[0].body["temperature"], &asked[0].body["max_tokens"]),
        (&json!(0.0), &json!(5))
    );
}

#[test]
fn a_server_that_tells_gives_likelihoods_of_texts_and_of_chats() {
    let server = Emulator::start(|_, request| telling(request));
    let connection = connection(&server.url);
    let subject = subject(&connection);
    assert!(subject.offered().unwrap().all());
    let asks = [
        ask(Prompt::Text("one two".into()), &[" three four", " dear"]),
        ask(chat("Hi"), &["three four", "dear"]),
    ];
    let found = subject.likelihoods(&asks, &mut |_| {}).unwrap();
    let likelihood = |log_probability, tokens, greedy| Likelihood {
        log_probability,
        tokens,
        greedy,
    };
    // The third and fourth word of the text; the first and second of the reply.
    assert_eq!(
        found[0],
        [likelihood(-7.0, 2, true), likelihood(-3.0, 1, false)]
    );
    assert_eq!(
        found[1],
        [likelihood(-3.0, 2, true), likelihood(-1.0, 1, false)]
    );
}

#[test]
fn a_server_that_tells_nothing_is_asked_once() {
    let desk = openai::OpenAi::default();
    let server = Emulator::start(move |_, request| desk.react(request));
    let connection = connection(&server.url);
    let subject = subject(&connection);
    let asks = [
        ask(Prompt::Text("a".into()), &[" b", " c"]),
        ask(chat("Hi"), &["b"]),
    ];
    for _ in 0..2 {
        let found = subject.likelihoods(&asks, &mut |_| {}).unwrap();
        assert_eq!(found, vec![Vec::new(); 2]);
    }
    assert_eq!(subject.offered().unwrap(), Offered::default());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_token_over_the_seam_speaks_for_both_sides() {
    let value = json!({"choices": [{"logprobs": {
        "text_offset": [0, 2, 5, 9],
        "token_logprobs": [null, -1.0, -2.0, -4.0],
        "top_logprobs": [null, {"a": -1.0}, {"b": -2.0}, {"c": -4.0}],
    }}]});
    let of = |text: &str, continuation: &str| of_text(&value, text, continuation);
    assert_eq!(of("abcd", "efghi").unwrap().log_probability, -3.0);
    assert_eq!(of("abcde", "fghi").unwrap().log_probability, -2.0);
    // Characters, not bytes.
    assert_eq!(of("äöüäö", "fghi").unwrap().log_probability, -2.0);
    assert_eq!(of("", "ab"), None, "nothing predicts a text's first token");
    for strange in [json!({}), json!({"choices": [{"logprobs": null}]})] {
        assert_eq!(of_text(&strange, "a", "b"), None);
    }
}
