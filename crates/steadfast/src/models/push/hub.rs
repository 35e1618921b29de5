//! The Hub's way of taking files: what is small travels inside a commit, what is large goes to its
//! storage first (git-lfs, whole or in parts) and is named in the commit by its digest.

use super::File;
use crate::models::resolve::is_hub_id;
use crate::providers::connection::{Connection, Key};
use crate::providers::requests::{Reading, Refused, Response};
use crate::providers::retry::Patience;
use crate::providers::service::Service;
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use reqwest::{Body, Method, RequestBuilder, Url};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the Hub is, unless HF_ENDPOINT says otherwise.
const ENDPOINT: &str = "https://huggingface.co";
/// How a file begins: the Hub looks at so much of it.
const SAMPLE: u64 = 512;
/// Files asked about in one request.
const TOGETHER: usize = 256;
/// Bytes in memory at once while a file is sent.
const PIECE: u64 = 1 << 20;
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(120);
const LFS: &str = "application/vnd.git-lfs+json";

/// The Hub, and the right to write to it.
#[derive(Debug)]
pub struct Hub {
    service: Service,
}

/// How the Hub keeps one file, and what it has of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// In its storage, rather than in the commit.
    pub large: bool,
    /// Not at all.
    pub ignored: bool,
    /// The digest of what stands there now: SHA-256 of a large file, git's name of another.
    pub oid: Option<String>,
}

/// One line of a commit.
#[derive(Debug)]
pub enum Change<'a> {
    /// A file inside the commit.
    Regular {
        /// Which.
        file: &'a File,
        /// What it holds.
        bytes: Vec<u8>,
    },
    /// A file that is in the storage.
    Large {
        /// Which.
        file: &'a File,
        /// Its SHA-256.
        oid: String,
    },
}

impl Hub {
    /// The Hub as the environment names it: HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, `HF_HOME/token`.
    ///
    /// # Errors
    /// A user error where there is no token, or the address is none.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let offline = variable("HF_HUB_OFFLINE");
        if offline.is_some_and(|value| crate::models::resolve::offline(Some(value.as_ref()))) {
            return Err(Error::user("HF_HUB_OFFLINE is set").hint("unset it to push"));
        }
        let token = Key::from_environment("HF_TOKEN")
            .or_else(|| Key::from_file(&token_file()?).ok())
            .ok_or_else(|| {
                Error::user("there is no token to push to the Hub with").hint(format!(
                    "make one with write access at {endpoint}/settings/tokens and set HF_TOKEN, or run `hf auth login`"
                ))
            })?;
        Self::new(
            &endpoint,
            token,
            Patience {
                attempts: 5,
                ..Patience::default()
            },
        )
    }

    /// A Hub at this address.
    ///
    /// # Errors
    /// A user error where the address is none.
    pub fn new(endpoint: &str, token: Key, patience: Patience) -> Result<Self> {
        let connection =
            Connection::new("the Hub", endpoint, Some(token), TIMEOUT).map_err(|mut error| {
                error.place.field = Some("HF_ENDPOINT".into());
                error.hint(format!("give an address such as {ENDPOINT}"))
            })?;
        Ok(Self {
            service: Service::new(connection, patience)?,
        })
    }

    /// A repository's page.
    pub fn page(&self, repository: &str) -> String {
        format!("{}/{repository}", self.service.base_url())
    }

    /// Makes a repository where there is none.
    ///
    /// # Errors
    /// Where a private one is asked for and a public one is there, or the Hub refuses.
    pub fn make(&self, repository: &str, private: bool) -> Result<()> {
        let Some((owner, name)) = repository.split_once('/').filter(|_| is_hub_id(repository))
        else {
            return Err(Error::user(format!("`{repository}` is no name on the Hub"))
                .hint("give it as OWNER/NAME, letters, digits, `-`, `_` and `.`"));
        };
        let what = format!("make {repository}");
        let body =
            json!({"type": "model", "organization": owner, "name": name, "private": private});
        let denied = self.service.ask(
            Method::POST,
            "api/repos/create",
            |request| request.json(&body),
            |response| match response.status.as_u16() {
                200..=299 => Reading::Answer(None),
                status @ (401 | 403 | 409) => {
                    Reading::Answer(Some((status, self.refused(&what, response))))
                }
                _ => self.refusal(&what, response),
            },
        )?;
        let Some((status, denied)) = denied else {
            return Ok(());
        };
        // It is there; or a token for it alone may not make others, and it is there.
        let about = self.get(
            &format!("look at {repository}"),
            &format!("api/models/{repository}"),
        );
        let about = match about {
            Err(_) if status != 409 => return Err(denied),
            about => about?,
        };
        if !private || about["private"] == true {
            return Ok(());
        }
        Err(
            Error::user(format!("{repository} is there already, and public"))
                .hint("give another name, or make it private in its settings first"),
        )
    }

    /// How the Hub keeps each of these files.
    ///
    /// # Errors
    /// When a file cannot be read, or the Hub refuses.
    pub fn kinds(&self, repository: &str, files: &[File]) -> Result<Vec<Kind>> {
        let mut found: BTreeMap<String, Kind> = BTreeMap::new();
        for some in files.chunks(TOGETHER) {
            let asked = some
                .iter()
                .map(|file| {
                    let sample = BASE64.encode(beginning(&file.here)?);
                    Ok(json!({"path": file.path, "sample": sample, "size": file.bytes}))
                })
                .collect::<Result<Vec<Value>>>()?;
            let answer = self.post(
                &format!("take files into {repository}"),
                &format!("api/models/{repository}/preupload/main"),
                &json!({ "files": asked }),
            )?;
            for file in answer["files"].as_array().into_iter().flatten() {
                let path = file["path"].as_str().unwrap_or_default().to_owned();
                let kind = Kind {
                    large: file["uploadMode"] == "lfs",
                    ignored: file["shouldIgnore"] == true,
                    oid: file["oid"].as_str().map(str::to_owned),
                };
                found.insert(path, kind);
            }
        }
        files
            .iter()
            .map(|file| {
                let kind = found
                    .remove(&file.path)
                    .ok_or_else(|| strange(format!("it says nothing of {}", file.path)))?;
                // The storage takes no empty files.
                Ok(Kind {
                    large: kind.large && file.bytes > 0,
                    ..kind
                })
            })
            .collect()
    }

    /// Which of these large files the storage lacks, with what it says of sending them.
    ///
    /// # Errors
    /// When the Hub refuses.
    pub fn missing<'a>(
        &self,
        repository: &str,
        files: &[(String, &'a File)],
    ) -> Result<Vec<(Instruction, &'a File)>> {
        let what = format!("take large files into {repository}");
        let mut missing = Vec::new();
        for some in files.chunks(TOGETHER) {
            let objects: Vec<Value> = some
                .iter()
                .map(|(oid, file)| json!({"oid": oid, "size": file.bytes}))
                .collect();
            let body = json!({"operation": "upload", "transfers": ["basic", "multipart"],
                "objects": objects, "hash_algo": "sha256", "ref": {"name": "main"}});
            let answer = self.lfs(
                &what,
                &format!("{repository}.git/info/lfs/objects/batch"),
                &body,
            )?;
            for object in answer["objects"].as_array().into_iter().flatten() {
                let oid = object["oid"].as_str().unwrap_or_default();
                let Some((_, file)) = some.iter().find(|(own, _)| own == oid) else {
                    return Err(strange("it speaks of a file that nobody named".into()));
                };
                if let Some(message) = object["error"]["message"].as_str() {
                    return Err(Error::outside(format!(
                        "the Hub refuses {}: {message}",
                        file.path
                    ))
                    .at(&file.here)
                    .hint("what it says decides: room on your account, or the file's size"));
                }
                if let Some(actions) = object["actions"].as_object() {
                    let instruction = Instruction {
                        oid: oid.to_owned(),
                        upload: actions.get("upload").cloned().unwrap_or_default(),
                        verify: actions.get("verify").cloned(),
                    };
                    missing.push((instruction, *file));
                }
            }
        }
        Ok(missing)
    }

    /// Sends one large file to the storage.
    ///
    /// # Errors
    /// When the file cannot be read, or the storage refuses.
    pub fn upload(&self, instruction: &Instruction, file: &File) -> Result<()> {
        let what = format!("take {}", file.path);
        let target = instruction.upload["href"]
            .as_str()
            .ok_or_else(|| strange(format!("it does not say where to send {}", file.path)))?;
        let header = &instruction.upload["header"];
        let part = header["chunk_size"]
            .as_str()
            .and_then(|size| size.parse().ok())
            .or(header["chunk_size"].as_u64());
        match part {
            None => {
                self.put(&what, target, file, 0, file.bytes)?;
            }
            Some(0) => return Err(strange("its parts have no size".into())),
            Some(size) => {
                let mut parts = Vec::new();
                for (index, from) in (0..file.bytes).step_by(size as usize).enumerate() {
                    let number = index + 1;
                    let address = part_address(header, number)
                        .ok_or_else(|| strange(format!("part {number} has no address")))?;
                    let length = size.min(file.bytes - from);
                    let etag = self.put(&what, address, file, from, length)?;
                    let etag = etag.ok_or_else(|| strange(format!("part {number} has no tag")))?;
                    parts.push(json!({"partNumber": number, "etag": etag}));
                }
                let body = json!({"oid": instruction.oid, "parts": parts});
                self.join(&what, target, &body)?;
            }
        }
        if let Some(address) = instruction
            .verify
            .as_ref()
            .and_then(|it| it["href"].as_str())
        {
            let body = json!({"oid": instruction.oid, "size": file.bytes});
            self.lfs(&what, &self.own(address)?, &body)?;
        }
        Ok(())
    }

    /// Puts all changes into one commit, and says its name.
    ///
    /// # Errors
    /// When the Hub refuses.
    pub fn commit(&self, repository: &str, changes: &[Change]) -> Result<String> {
        let summary = format!("Pushed by steadfast {}", env!("CARGO_PKG_VERSION"));
        let header = json!({"key": "header", "value": {"summary": summary, "description": ""}});
        let lines = changes.iter().map(|change| match change {
            Change::Regular { file, bytes } => json!({"key": "file", "value":
                {"path": file.path, "content": BASE64.encode(bytes), "encoding": "base64"}}),
            Change::Large { file, oid } => json!({"key": "lfsFile", "value":
                {"path": file.path, "algo": "sha256", "oid": oid, "size": file.bytes}}),
        });
        let body: String = std::iter::once(header)
            .chain(lines)
            .map(|line| format!("{line}\n"))
            .collect();
        let what = format!("commit to {repository}");
        let answer = self.service.ask(
            Method::POST,
            &format!("api/models/{repository}/commit/main"),
            |request| {
                request
                    .header(CONTENT_TYPE, "application/x-ndjson")
                    .body(body.clone())
            },
            |response| self.json(&what, response),
        )?;
        answer["commitOid"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| strange("the commit has no name".into()))
    }

    fn get(&self, what: &str, path: &str) -> Result<Value> {
        let read = |response: &Response| self.json(what, response);
        self.service.ask(Method::GET, path, |request| request, read)
    }

    fn post(&self, what: &str, path: &str, body: &Value) -> Result<Value> {
        let read = |response: &Response| self.json(what, response);
        self.service
            .ask(Method::POST, path, |request| request.json(body), read)
    }

    /// POST in git-lfs' form. Some answers have no body.
    fn lfs(&self, what: &str, path: &str, body: &Value) -> Result<Value> {
        self.service.ask(
            Method::POST,
            path,
            |request| dressed(request, body),
            |response| match response.status.is_success() {
                true => Reading::Answer(serde_json::from_slice(&response.body).unwrap_or_default()),
                false => self.refusal(what, response),
            },
        )
    }

    /// Says that all parts are there. As the official client does it, without the token: the address
    /// is signed.
    fn join(&self, what: &str, address: &str, body: &Value) -> Result<()> {
        let address = parsed(address)?;
        self.service.elsewhere(
            Method::POST,
            &address,
            |request| dressed(request, body),
            |response| self.done(what, response),
        )
    }

    fn done(&self, what: &str, response: &Response) -> Reading<()> {
        match response.status.is_success() {
            true => Reading::Answer(()),
            false => self.refusal(what, response),
        }
    }

    /// Sends a part of a file to the storage, which is asked without the token; its tag of the part.
    fn put(
        &self,
        what: &str,
        address: &str,
        file: &File,
        from: u64,
        length: u64,
    ) -> Result<Option<String>> {
        let address = parsed(address)?;
        Pieces::open(&file.here, from, length)?;
        self.service.elsewhere(
            Method::PUT,
            &address,
            |request| {
                let body = match Pieces::open(&file.here, from, length) {
                    Ok(pieces) => Body::wrap_stream(futures_util::stream::iter(pieces)),
                    // It was there a moment ago; an empty body fails with the length that is told.
                    Err(_) => Body::default(),
                };
                request.header(CONTENT_LENGTH, length).body(body)
            },
            |response| match response.status.is_success() {
                true => {
                    let etag = response.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
                    Reading::Answer(etag.map(str::to_owned))
                }
                false => self.refusal(what, response),
            },
        )
    }

    /// The path of an address of the Hub's own: the token goes nowhere else.
    fn own(&self, address: &str) -> Result<String> {
        self.service.path_of(address).ok_or_else(|| {
            strange(format!(
                "`{address}` is not the Hub's, and is not told the token"
            ))
        })
    }

    fn json(&self, what: &str, response: &Response) -> Reading<Value> {
        if response.status.is_success() {
            return self.service.json(what, response);
        }
        self.refusal(what, response)
    }

    /// What the Hub's refusals ask of the user.
    fn refusal<T>(&self, what: &str, response: &Response) -> Reading<T> {
        let said = Refused::read(response.status, &response.body);
        // Others than the Hub say 409 of what passes; the Hub of a repository that has changed.
        let passing = match response.status.as_u16() {
            409 => None,
            _ => said.passing(response.status, &response.headers),
        };
        passing.unwrap_or_else(|| Reading::Never(self.refused(what, response)))
    }

    fn refused(&self, what: &str, response: &Response) -> Error {
        let said = Refused::read(response.status, &response.body);
        let status = response.status.as_u16();
        let base = self.service.base_url();
        let hint = match status {
            401 => format!("make a token with write access at {base}/settings/tokens, and set HF_TOKEN"),
            403 => "use a token that may write there, or push to a name space of your own".to_owned(),
            404 => "check the name; a token that may not see a private repository is told that there is none".to_owned(),
            409 | 412 => "somebody else wrote to it meanwhile: push again; what was uploaded is not sent twice".to_owned(),
            _ => "what it says decides; what was uploaded so far is not sent again".to_owned(),
        };
        Error::outside(format!("the Hub refuses to {what}: {}", said.message)).hint(hint)
    }
}

/// What the storage says of sending one file.
#[derive(Debug)]
pub struct Instruction {
    /// The file's SHA-256.
    oid: String,
    upload: Value,
    verify: Option<Value>,
}

/// In git-lfs' form.
fn dressed(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request
        .header(ACCEPT, LFS)
        .header(CONTENT_TYPE, LFS)
        .body(body.to_string())
}

fn parsed(address: &str) -> Result<Url> {
    Url::parse(address).map_err(|_| strange(format!("`{address}` is no address")))
}

fn strange(what: String) -> Error {
    Error::outside(format!("the Hub's answer is not understood: {what}"))
        .hint("check HF_ENDPOINT; a mirror may not take uploads")
}

/// The addresses of parts stand under their numbers, with zeros before them.
fn part_address(header: &Value, number: usize) -> Option<&str> {
    let header = header.as_object()?;
    let (_, address) = header.iter().find(|(key, _)| key.parse() == Ok(number))?;
    address.as_str()
}

fn token_file() -> Option<PathBuf> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("HF_TOKEN_PATH").or_else(|| {
        let home = from("HF_HOME")
            .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| from("HOME").map(|home| home.join(".cache").join("huggingface")));
        home.map(|home| home.join("token"))
    })
}

fn beginning(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(SAMPLE).read_to_end(&mut bytes))
        .map_err(|cause| Error::file("read", path, cause))?;
    Ok(bytes)
}

/// A part of a file, a piece at a time.
struct Pieces {
    file: fs::File,
    left: u64,
}

impl Pieces {
    fn open(path: &Path, from: u64, length: u64) -> Result<Self> {
        let open = || {
            let mut file = fs::File::open(path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok(file)
        };
        let file = open().map_err(|cause| Error::file("read", path, cause))?;
        Ok(Self { file, left: length })
    }
}

impl Iterator for Pieces {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let mut piece = vec![0; self.left.min(PIECE) as usize];
        self.left -= piece.len() as u64;
        Some(self.file.read_exact(&mut piece).map(|()| piece))
    }
}
