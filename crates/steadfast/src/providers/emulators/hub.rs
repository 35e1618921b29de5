//! The Hub: repositories of files, large ones by LFS, as `huggingface_hub` asks for them.

use super::http::{Reaction, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The token that it accepts.
pub const TOKEN: &str = "hf_not_to_be_seen";
/// Whose name space the token may write to.
pub const OWNER: &str = "Hotels";

/// A digest in hexadecimal.
pub type Hash = fn(&[u8]) -> String;

/// Its desk.
pub struct Hub {
    sha256: Hash,
    git_blob: Hash,
    /// Bytes of a part, where large files are to come in parts.
    part: Option<usize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// Large files by their digest; one that is not there yet has its parts.
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, usize), Vec<u8>>,
}

#[derive(Default)]
struct Repository {
    private: bool,
    commits: usize,
    files: BTreeMap<String, File>,
}

#[derive(Clone)]
enum File {
    Regular(Vec<u8>),
    Large(String),
}

fn refuses(status: u16, message: &str) -> Reaction {
    let body = Reaction::json(&json!({ "error": message }));
    Reaction { status, ..body }.header(&format!("X-Error-Message: {message}"))
}

impl Hub {
    /// An empty one. The digests are those of whoever builds it: SHA-256, and git's of a blob.
    pub fn new(sha256: Hash, git_blob: Hash, part: Option<usize>) -> Self {
        Self {
            sha256,
            git_blob,
            part,
            state: Mutex::default(),
        }
    }

    /// The files of a repository, and whether it is private.
    pub fn repository(&self, name: &str) -> Option<(BTreeMap<String, Vec<u8>>, bool)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let repository = state.repositories.get(name)?;
        let read = |(path, file): (&String, &File)| Some((path.clone(), state.read(file)?));
        let files = repository.files.iter().map(read).collect::<Option<_>>()?;
        Some((files, repository.private))
    }

    /// How often a repository was committed to.
    pub fn commits(&self, name: &str) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.repositories.get(name).map_or(0, |one| one.commits)
    }

    /// What it answers.
    pub fn react(&self, request: &Request) -> Reaction {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let path: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
        let method = request.method();
        let token = request.header("authorization");
        // The storage is another service: it is asked with signed addresses, and a token is an error.
        match (method, path.as_slice()) {
            ("put", ["storage", ..]) if token.is_some() => {
                return refuses(400, "Only one auth mechanism allowed");
            }
            ("put", ["storage", oid]) => return self.keep(&mut state, oid, request.bytes.clone()),
            ("put", ["storage", oid, part]) => {
                let number = part.parse().unwrap_or(0);
                let key = ((*oid).to_owned(), number);
                state.parts.insert(key, request.bytes.clone());
                return Reaction::new(200, "").header(&format!("ETag: \"part-{number}\""));
            }
            // Signed too.
            ("post", ["storage", oid, "complete"]) => {
                return self.join(&mut state, oid, &request.body);
            }
            _ => {}
        }
        if token.is_none_or(|token| token != format!("bearer {TOKEN}")) {
            return refuses(401, "Invalid credentials in Authorization header");
        }
        match (method, path.as_slice()) {
            ("post", ["api", "repos", "create"]) => state.create(&request.body),
            // The client shows it a card first. Nothing here reads cards.
            ("post", ["api", "validate-yaml"]) => {
                Reaction::json(&json!({"errors": [], "warnings": []}))
            }
            ("post", ["storage", oid, "verify"]) => match state.objects.get(*oid) {
                Some(bytes) if request.body["size"] == bytes.len() => Reaction::json(&json!({})),
                _ => refuses(404, "the object is not there"),
            },
            ("get", ["api", "models", owner, name]) => state.about(&format!("{owner}/{name}")),
            ("get", ["api", "models", owner, name, "revision", _]) => {
                state.about(&format!("{owner}/{name}"))
            }
            ("get", ["api", "models", owner, name, "tree", _]) => {
                self.tree(&state, &format!("{owner}/{name}"))
            }
            ("post", ["api", "models", owner, name, "preupload", "main"]) => {
                self.classify(&state, &format!("{owner}/{name}"), &request.body)
            }
            ("post", ["api", "models", owner, name, "commit", "main"]) => {
                state.commit(&format!("{owner}/{name}"), &request.bytes)
            }
            ("post", [_, _, "info", "lfs", "objects", "batch"]) => {
                let host = request.header("host").unwrap_or_default();
                self.batch(&state, &format!("http://{host}"), &request.body)
            }
            ("get" | "head", [owner, name, "resolve", _, file @ ..]) => {
                self.file(&state, &format!("{owner}/{name}"), &file.join("/"))
            }
            _ => refuses(404, "no such page"),
        }
    }

    fn keep(&self, state: &mut State, oid: &str, bytes: Vec<u8>) -> Reaction {
        if (self.sha256)(&bytes) != oid {
            return refuses(400, "the digest is another one");
        }
        state.objects.insert(oid.to_owned(), bytes);
        Reaction::new(200, "")
    }

    /// Large files are told by their names, as the Hub's `.gitattributes` does.
    fn classify(&self, state: &State, name: &str, asked: &Value) -> Reaction {
        let Some(repository) = state.repositories.get(name) else {
            return refuses(404, "Repository not found");
        };
        let files = asked["files"].as_array().into_iter().flatten().map(|file| {
            let path = file["path"].as_str().unwrap_or_default();
            let large = [".safetensors", ".gguf"]
                .iter()
                .any(|end| path.ends_with(end))
                || path.contains("tfevents")
                || file["size"].as_u64().is_some_and(|size| size > 10 << 20);
            let oid = repository.files.get(path).map(|file| self.oid(file));
            json!({"path": path, "uploadMode": if large { "lfs" } else { "regular" },
                "shouldIgnore": false, "oid": oid})
        });
        Reaction::json(&json!({ "files": files.collect::<Vec<_>>() }))
    }

    fn oid(&self, file: &File) -> String {
        match file {
            File::Regular(bytes) => (self.git_blob)(bytes),
            File::Large(oid) => oid.clone(),
        }
    }

    /// What to do for each object; nothing for one that is there.
    fn batch(&self, state: &State, here: &str, asked: &Value) -> Reaction {
        let objects = asked["objects"].as_array().into_iter().flatten();
        let objects = objects.map(|object| {
            let oid = object["oid"].as_str().unwrap_or_default();
            let size = object["size"].as_u64().unwrap_or(0);
            if state.objects.contains_key(oid) {
                return json!({"oid": oid, "size": size});
            }
            let address = format!("{here}/storage/{oid}");
            let verify = json!({ "href": format!("{address}/verify") });
            let upload = match self.part {
                None => json!({ "href": address }),
                Some(part) => {
                    let count = (size as usize).div_ceil(part);
                    let mut header: serde_json::Map<String, Value> = (1..=count)
                        .map(|number| {
                            (format!("{number:05}"), format!("{address}/{number}").into())
                        })
                        .collect();
                    header.insert("chunk_size".into(), part.to_string().into());
                    json!({"href": format!("{address}/complete"), "header": header})
                }
            };
            json!({"oid": oid, "size": size, "authenticated": true,
                "actions": {"upload": upload, "verify": verify}})
        });
        let transfer = self.part.map_or("basic", |_| "multipart");
        Reaction::json(&json!({"transfer": transfer, "objects": objects.collect::<Vec<_>>()}))
    }

    fn join(&self, state: &mut State, oid: &str, asked: &Value) -> Reaction {
        let mut whole = Vec::new();
        for (index, part) in asked["parts"].as_array().into_iter().flatten().enumerate() {
            let number = index + 1;
            let told = part["etag"] == format!("\"part-{number}\"") && part["partNumber"] == number;
            match state.parts.remove(&(oid.to_owned(), number)) {
                Some(bytes) if told => whole.extend(bytes),
                _ => return refuses(400, "a part is missing"),
            }
        }
        self.keep(state, oid, whole)
    }

    fn tree(&self, state: &State, name: &str) -> Reaction {
        let Some(repository) = state.repositories.get(name) else {
            return refuses(404, "Repository not found");
        };
        let entries = repository.files.iter().map(|(path, file)| {
            let size = state.read(file).map_or(0, |bytes| bytes.len());
            let mut entry =
                json!({"type": "file", "path": path, "size": size, "oid": self.oid(file)});
            if let File::Large(oid) = file {
                entry["lfs"] = json!({"oid": oid, "size": size, "pointerSize": 130});
            }
            entry
        });
        Reaction::json(&entries.collect())
    }

    fn file(&self, state: &State, name: &str, path: &str) -> Reaction {
        let found = state.repositories.get(name).and_then(|repository| {
            let file = repository.files.get(path)?;
            Some((repository, file, state.read(file)?))
        });
        let Some((repository, file, bytes)) = found else {
            return refuses(404, "Entry not found").header("X-Error-Code: EntryNotFound");
        };
        Reaction::new(200, bytes)
            .header(&format!("ETag: \"{}\"", self.oid(file)))
            .header(&format!("X-Repo-Commit: {}", repository.head()))
    }
}

impl Repository {
    /// The last commit's name.
    fn head(&self) -> String {
        format!("{:040x}", self.commits)
    }
}

impl State {
    fn read(&self, file: &File) -> Option<Vec<u8>> {
        match file {
            File::Regular(bytes) => Some(bytes.clone()),
            File::Large(oid) => self.objects.get(oid).cloned(),
        }
    }

    fn create(&mut self, asked: &Value) -> Reaction {
        let owner = asked["organization"].as_str().unwrap_or(OWNER);
        let name = format!("{owner}/{}", asked["name"].as_str().unwrap_or_default());
        if owner != OWNER {
            let why = "You don't have the rights to create a model under this namespace";
            return refuses(403, why);
        }
        if self.repositories.contains_key(&name) {
            let refused = json!({"error": "You already created this model repo",
                "url": format!("https://huggingface.co/{name}")});
            return Reaction {
                status: 409,
                ..Reaction::json(&refused)
            };
        }
        let private = asked["private"] == true || asked["visibility"] == "private";
        let new = Repository {
            private,
            ..Repository::default()
        };
        self.repositories.insert(name.clone(), new);
        Reaction::json(&json!({"url": format!("https://huggingface.co/{name}"), "name": name}))
    }

    fn about(&self, name: &str) -> Reaction {
        let Some(repository) = self.repositories.get(name) else {
            return refuses(404, "Repository not found").header("X-Error-Code: RepoNotFound");
        };
        let siblings = repository.files.keys();
        let siblings: Vec<Value> = siblings.map(|path| json!({ "rfilename": path })).collect();
        Reaction::json(
            &json!({"id": name, "sha": repository.head(), "private": repository.private,
            "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}),
        )
    }

    fn commit(&mut self, name: &str, body: &[u8]) -> Reaction {
        let mut changes = Vec::new();
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let line: Value = serde_json::from_slice(line).unwrap_or_default();
            let value = &line["value"];
            let path = value["path"].as_str().unwrap_or_default().to_owned();
            match line["key"].as_str().unwrap_or_default() {
                "header" if index == 0 && value["summary"].is_string() => {}
                "file" if value["encoding"] == "base64" => {
                    let content = value["content"].as_str().unwrap_or_default();
                    changes.push((path, File::Regular(decoded(content))));
                }
                "lfsFile" if value["algo"] == "sha256" => {
                    let oid = value["oid"].as_str().unwrap_or_default();
                    match self.objects.get(oid) {
                        Some(bytes) if value["size"] == bytes.len() => {
                            changes.push((path, File::Large(oid.to_owned())));
                        }
                        _ => return refuses(400, "the LFS object is not there"),
                    }
                }
                _ => return refuses(400, "a line that no commit has"),
            }
        }
        let Some(repository) = self.repositories.get_mut(name) else {
            return refuses(404, "Repository not found");
        };
        repository.commits += 1;
        repository.files.extend(changes);
        let head = repository.head();
        let url = format!("https://huggingface.co/{name}/commit/{head}");
        Reaction::json(
            &json!({"success": true, "commitOid": head, "commitUrl": url, "hookOutput": ""}),
        )
    }
}

/// Base64 with the usual alphabet.
fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter(|letter| *letter != b'=');
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in digits {
        let digit = ALPHABET.iter().position(|other| *other == letter);
        bits = bits << 6 | digit.unwrap_or(0) as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
