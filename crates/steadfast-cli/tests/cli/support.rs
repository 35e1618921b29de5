//! Runs the built command in a folder of its own and writes down all that a caller can see.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A folder with the files of one test, and the variables that its commands see.
pub struct Folder {
    root: TempDir,
    variables: Vec<(String, String)>,
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a temporary folder"),
            variables: Vec::new(),
        }
    }

    /// The folder with one more file.
    pub fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
        self
    }

    /// The folder with one more variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Command line, exit code, stdout and stderr of one run in this folder.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let mut text = format!("$ steadfast {}\n", arguments.join(" "));
        let code = output.status.code();
        let _ = writeln!(text, "exit code: {}", code.map_or(-1, |code| code));
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let _ = writeln!(text, "----- {name} -----");
            text += &String::from_utf8_lossy(bytes);
        }
        // macOS and Linux may name the folder in messages of the operating system.
        text.replace(&self.path().display().to_string(), "[folder]")
    }

    /// The document that one run prints.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.output(arguments);
        serde_json::from_slice(&output.stdout).expect("one JSON document on stdout")
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command runs")
    }

    /// The command in this folder, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            // Mistakes must be found without the network.
            .env("HF_HUB_OFFLINE", "1")
            .env_remove("HF_ENDPOINT")
            .env_remove("OPENAI_API_KEY")
            .env_remove("OPENAI_BASE_URL")
            .env_remove("TOGETHER_API_KEY")
            .env_remove("TOGETHER_BASE_URL")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }
}
