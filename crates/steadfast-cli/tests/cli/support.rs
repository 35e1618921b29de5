//! Runs the built command in a folder of its own and writes down all that a caller can see.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A folder with the files of one test.
pub struct Folder(TempDir);

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// The folder with one more file.
    pub fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Command line, exit code, stdout and stderr of one run in this folder.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_steadfast"))
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
            .stdin(Stdio::null())
            .output()
            .expect("the command runs");
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
}
