//! A server for tests: answers as it is told, on this machine.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the endpoint does with one request.
#[derive(Clone, Debug)]
pub struct Reaction {
    /// The status line's number.
    pub status: u16,
    /// Further headers, each a whole line.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Waits so long first.
    pub delay: Duration,
    /// Ends the connection in the middle of the body.
    pub cut: bool,
}

impl Reaction {
    /// JSON.
    pub fn json(body: &Value) -> Self {
        Self::new(200, body.to_string()).header("Content-Type: application/json")
    }

    /// A refusal in OpenAI's form.
    pub fn refuses(status: u16, code: &str, message: &str) -> Self {
        let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
        Self {
            status,
            ..Self::json(&json!({ "error": error }))
        }
    }

    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
            cut: false,
        }
    }

    /// A whole chat completion that says `text`, and counts 100 tokens read and 10 written.
    pub fn says(text: &str) -> Self {
        let body = json!({
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        });
        Self::new(200, body.to_string())
    }

    /// With one more header.
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request line and the headers, lower case.
    pub head: String,
    /// What is asked for, as it was written: its path and its query.
    pub target: String,
    /// The body, where it is JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Request {
    /// `get`, `post`, …
    pub fn method(&self) -> &str {
        self.head.split_whitespace().next().unwrap_or_default()
    }

    /// What is asked for below `/v1/`, without a query.
    pub fn path(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.strip_prefix("/v1/").unwrap_or(path)
    }

    /// A value of the query, decoded: clients write the same name in more than one way.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(key, _)| key == name)?;
        Some(value.into_owned())
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key == name);
        let (_, value) = self.head.lines().find(line)?.split_once(':')?;
        Some(value.trim())
    }

    /// A field of a multipart form, or its file.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let find = |bytes: &[u8], part: &str| {
            bytes
                .windows(part.len())
                .position(|window| window == part.as_bytes())
        };
        // Each part ends before a line end and the boundary that the form began with.
        let line = find(&self.bytes, "\r\n")?;
        let boundary = String::from_utf8_lossy(&self.bytes[..line]).into_owned();
        let start = find(&self.bytes, &format!("name=\"{name}\""))?;
        let rest = &self.bytes[start..];
        let rest = &rest[find(rest, "\r\n\r\n")? + 4..];
        Some(&rest[..find(rest, &format!("\r\n{boundary}"))?])
    }
}

type Script = dyn Fn(usize, &Request) -> Reaction + Send + Sync;

/// A running endpoint; it ends when dropped.
pub struct Emulator {
    /// Up to `/v1`.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Emulator {
    /// Starts one; the script hears the number of the request, from 0, and the request.
    pub fn start(script: impl Fn(usize, &Request) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (heard, over) = (requests.clone(), ended.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (heard, script) = (heard.clone(), script.clone());
                if let Ok(stream) = stream {
                    // A client that goes away early is part of some tests.
                    std::thread::spawn(move || serve(&stream, &heard, script.as_ref()));
                }
            }
        });
        Self {
            url,
            requests,
            ended,
        }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test panics inside").clone()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let address = self.url.trim_start_matches("http://");
        // Wakes the listener, so that it sees the end.
        let _ = TcpStream::connect(address.trim_end_matches("/v1"));
    }
}

fn serve(stream: &TcpStream, heard: &Mutex<Vec<Request>>, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    let lower = head.to_lowercase();
    let field = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name));
    let body = if field("transfer-encoding:").is_some_and(|how| how.trim() == "chunked") {
        chunks(&mut reader)?
    } else {
        let length = field("content-length:").and_then(|length| length.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        body
    };
    let request = Request {
        target: head
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned(),
        head: lower,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        bytes: body,
    };
    let number = {
        let mut heard = heard.lock().expect("no test panics inside");
        heard.push(request.clone());
        heard.len() - 1
    };
    let reaction = script(number, &request);
    std::thread::sleep(reaction.delay);
    let mut answer = format!(
        "HTTP/1.1 {} Told\r\nConnection: close\r\nContent-Length: {}\r\n",
        reaction.status,
        reaction.body.len()
    );
    for header in &reaction.headers {
        answer += header;
        answer += "\r\n";
    }
    answer += "\r\n";
    let mut answer = answer.into_bytes();
    // What a HEAD asks for is told, not sent.
    let end = match request.method() {
        "head" => 0,
        _ if reaction.cut => reaction.body.len() / 2,
        _ => reaction.body.len(),
    };
    answer.extend(&reaction.body[..end]);
    let mut stream = stream;
    stream.write_all(&answer)?;
    stream.flush()
}

/// A body that comes in pieces, each after its length in hexadecimal.
fn chunks(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let mut piece = vec![0; length + 2];
        reader.read_exact(&mut piece)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend(&piece[..length]);
    }
}
