//! `serve`, asked over real HTTP by clients that speak it by hand.

use crate::support::Folder;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "SmolLM2-135M-Instruct";

/// A server of its own for one test.
pub struct Server {
    child: Child,
    /// Host and port.
    pub address: String,
}

/// An answer as it came.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// The data of the events of a stream.
    fn events(&self) -> Vec<&str> {
        self.body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect()
    }
}

impl Server {
    /// Starts one in a folder.
    pub fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_steadfast"))
            .args(["serve", "--port", "0", "--json", "--quiet"])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take().expect("it has a stdout");
        let mut document = String::new();
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("stdout is text");
            document += &line;
            if line == "}" {
                break;
            }
        }
        let document: Value = serde_json::from_str(&document).expect("it says where it is");
        let address = document["address"].as_str().expect("an address");
        let address = address.trim_start_matches("http://").to_owned();
        Self { child, address }
    }

    /// Sends a request and leaves the connection open.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let length = body.len();
        let host = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        )
        .expect("it reads");
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.send(method, path, headers, body);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers");
        answer(&bytes)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "", &body.to_string())
    }

    /// The whole reply to one prompt.
    fn reply(&self, model: &str, prompt: &str) -> String {
        let answer = self.post("/v1/chat/completions", &question(model, prompt, 24));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let content = &answer.json()["choices"][0]["message"]["content"];
        content.as_str().expect("a reply").to_owned()
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.ask("GET", "/metrics", "", "").body;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .expect("the metric is there");
        let value = line.split(' ').nth(1).expect("it has a value");
        value.parse().expect("a number")
    }

    /// Waits until a metric has a value.
    fn wait_for(&self, name: &str, value: u64, most: Duration) {
        let began = Instant::now();
        while self.metric(name) != value {
            assert!(began.elapsed() < most, "{name} is not {value}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status");
    let body = if head.contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer {
        status: status.parse().expect("a number"),
        headers: head.to_owned(),
        body,
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        body += &after[..size];
        rest = after[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    body
}

fn question(model: &str, prompt: &str, max_tokens: usize) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
    })
}

/// What `steadfast chat` says.
fn chat(folder: &Folder, arguments: &[&str], prompt: &str) -> String {
    let all = [
        &["chat", "--max-tokens", "24", "--json", "--quiet"],
        arguments,
        &[prompt],
    ]
    .concat();
    let seen = folder.run(&all);
    let start = seen.find('{').expect("a document");
    let end = seen.rfind('}').expect("its end");
    let document: Value = serde_json::from_str(&seen[start..=end]).expect("it is JSON");
    document["reply"].as_str().expect("a reply").to_owned()
}

#[test]
fn replies_are_those_of_chat_with_and_without_an_adapter() {
    let folder = Folder::new();
    let chats = folder.run(&["data", "simulate", "--count", "16"]);
    let lines = chats.lines().filter(|line| line.starts_with('{'));
    let folder = folder.with("chats.jsonl", lines.collect::<Vec<_>>().join("\n"));
    folder.run(&[
        "tune",
        "--data",
        "chats.jsonl",
        "--steps",
        "6",
        "--learning-rate",
        "0.01",
        "--batch-tokens",
        "512",
        "--quiet",
        "--output",
        "hotel",
    ]);
    let server = Server::start(&folder, &["--adapter", "hotel=hotel"]);
    let listed = server.ask("GET", "/v1/models", "", "").json();
    let names: Vec<&str> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(names, [MODEL, "hotel"]);

    let prompts = ["I need a room for two nights.", "Why is the sky blue?"];
    // Both models at once, so that their replies are written in turn.
    let found: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = [MODEL, "hotel"]
            .into_iter()
            .flat_map(|model| prompts.map(|prompt| (model, prompt)))
            .map(|(model, prompt)| scope.spawn(|| server.reply(model, prompt)))
            .collect();
        asked
            .into_iter()
            .map(|thread| thread.join().expect("a reply"))
            .collect()
    });
    let expected: Vec<String> = [&[][..], &["--adapter", "hotel"]]
        .into_iter()
        .flat_map(|arguments| prompts.map(|prompt| chat(&folder, arguments, prompt)))
        .collect();
    assert_eq!(found, expected);
    assert_ne!(found[0], found[2], "the adapter changes the reply");
}

#[test]
fn a_stream_is_the_whole_in_pieces_and_many_get_what_each_gets_alone() {
    let server = Server::start(&Folder::new(), &[]);
    let prompt = |index: usize| format!("Tell me of the number {index} and a café.");
    let alone: Vec<String> = (0..16)
        .map(|index| server.reply(MODEL, &prompt(index)))
        .collect();
    let together: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..16)
            .map(|index| {
                let server = &server;
                scope.spawn(move || {
                    let mut body = question(MODEL, &prompt(index), 24);
                    body["stream"] = json!(true);
                    let answer = server.post("/v1/chat/completions", &body);
                    let mut events = answer.events();
                    assert_eq!(events.pop(), Some("[DONE]"));
                    events
                        .iter()
                        .map(|data| serde_json::from_str::<Value>(data).expect("an event is JSON"))
                        .filter_map(|event| {
                            let delta = &event["choices"][0]["delta"]["content"];
                            delta.as_str().map(str::to_owned)
                        })
                        .collect::<String>()
                })
            })
            .collect();
        asked
            .into_iter()
            .map(|thread| thread.join().expect("a reply"))
            .collect()
    });
    assert_eq!(together, alone);
}

#[test]
fn a_client_that_hangs_up_frees_its_place_and_one_too_many_is_told_to_wait() {
    let server = Server::start(&Folder::new(), &["--batch", "1", "--queue", "1"]);
    let long = |stream: bool| {
        let mut body = question(MODEL, "Count from one to a thousand.", 2000);
        body["stream"] = json!(stream);
        body["logit_bias"] = json!({"2": -100});
        server.send("POST", "/v1/chat/completions", "", &body.to_string())
    };
    for stream in [true, false] {
        let first = long(stream);
        server.wait_for("steadfast_active_replies", 1, Duration::from_secs(10));
        let second = long(stream);
        server.wait_for("steadfast_waiting_requests", 1, Duration::from_secs(10));
        let third = server.post("/v1/chat/completions", &question(MODEL, "Hi", 1));
        assert_eq!(third.status, 429, "{}", third.body);
        assert!(third.headers.contains("retry-after: "), "{}", third.headers);
        assert_eq!(third.json()["error"]["code"], "rate_limit_exceeded");
        drop((first, second));
        server.wait_for("steadfast_active_replies", 0, Duration::from_secs(2));
        server.wait_for("steadfast_waiting_requests", 0, Duration::from_secs(2));
    }
    assert!(!server.reply(MODEL, "Hi").is_empty());
}

#[test]
fn what_is_too_large_too_slow_or_nowhere_is_refused_in_one_shape() {
    let server = Server::start(&Folder::new(), &["--timeout", "1", "--max-tokens", "4000"]);
    let large = "x".repeat(5 << 20);
    let long = json!({"model": MODEL, "prompt": "One, two,", "max_tokens": 4000, "temperature": 0,
        "logit_bias": {"0": -100, "2": -100}});
    let cases = [
        ("POST", "/v1/chat/completions", large.as_str(), 413),
        ("POST", "/v1/chat/completions", "{", 400),
        ("POST", "/v1/chat/completions", "[]", 400),
        ("GET", "/v1/chat/completions", "", 405),
        ("GET", "/v1/models/../../etc/passwd", "", 404),
        ("GET", "/v1/models/%2e%2e%2fCargo.toml", "", 404),
        ("GET", "/nowhere", "", 404),
        ("POST", "/v1/completions", &long.to_string(), 504),
    ];
    for (method, path, body, status) in cases {
        let answer = server.ask(method, path, "", body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let error = &answer.json()["error"];
        for field in ["message", "type"] {
            assert!(error[field].is_string(), "{method} {path}: {error}");
        }
        for field in ["param", "code"] {
            assert!(error.get(field).is_some(), "{method} {path}: {error}");
        }
    }
}

#[test]
fn keys_let_in_and_without_them_only_local_programs_come_in() {
    let folder = Folder::new();
    let made = folder.run(&["serve", "--new-key", "one", "--keys", "keys"]);
    let key = made
        .lines()
        .find(|line| line.starts_with("sk-"))
        .expect("the key is printed");
    let stored = std::fs::read_to_string(folder.path().join("keys")).expect("the file is there");
    assert!(!stored.contains(key));
    let server = Server::start(&folder, &["--keys", "keys"]);
    for (headers, status) in [
        (String::new(), 401),
        ("Authorization: Bearer sk-steadfast-0\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {key}\r\n"), 200),
    ] {
        for path in ["/v1/models", "/metrics"] {
            assert_eq!(server.ask("GET", path, &headers, "").status, status);
        }
    }
    assert_eq!(server.ask("GET", "/health", "", "").status, 200);
    drop(server);

    let server = Server::start(&folder, &[]);
    for (headers, status) in [
        ("", 200),
        ("Origin: http://localhost:3000\r\n", 200),
        ("Origin: https://example.com\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        assert_eq!(server.ask("GET", "/v1/models", headers, "").status, status);
    }
    // A name that somebody else made to lead to this machine.
    let mut stream = TcpStream::connect(&server.address).expect("it listens");
    write!(
        stream,
        "GET /v1/models HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers");
    assert_eq!(answer(&bytes).status, 403);
}

#[test]
fn serve_says_what_is_wrong_with_its_flags() {
    let folder = Folder::new()
        .with("keys", "one sk-steadfast-0\n")
        .with("none", "");
    let mut seen = String::new();
    for arguments in [
        &["--host", "0.0.0.0", "--adapter", "hotel", "--batch", "0"][..],
        &["--keys", "nowhere"],
        &["--keys", "keys"],
        &["--keys", "none"],
        &["--new-key", "one"],
        &["--adapter", "hotel=nowhere"],
    ] {
        let all = [&["serve", "--port", "0"], arguments].concat();
        seen += &folder.run(&all);
    }
    insta::assert_snapshot!(seen);
}
