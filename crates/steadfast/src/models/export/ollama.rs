//! What `ollama create` takes: a GGUF file and a Modelfile.

use super::gguf::{self, Quantization};
use super::{Exported, as_a_whole, bytes_under};
use crate::Result;
use crate::conversations::{Message, Role};
use crate::models::adapter::Adapter;
use crate::models::language_model::read_text;
use crate::models::resolve::Located;
use crate::runs::atomic;
use std::fmt::Write;
use std::path::Path;

/// Ollama's form of ChatML.
const CHATML: &str = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n";

/// Writes `model.gguf` and `Modelfile` into `folder`, which must be empty or absent.
pub fn write(
    located: &Located,
    adapter: &Adapter,
    quantization: Quantization,
    folder: &Path,
) -> Result<Exported> {
    as_a_whole(folder, |folder| {
        gguf::write(located, adapter, quantization, &folder.join("model.gguf"))?;
        let text = modelfile(located)?;
        atomic::write(&folder.join("Modelfile"), text.as_bytes())
    })?;
    Ok(Exported {
        path: folder.to_owned(),
        bytes: bytes_under(folder),
    })
}

/// Ollama's templates are Go's, not Jinja: a ChatML model gets its template and the system prompt
/// that its own template puts where none is given; for others Ollama looks at the file's template.
fn modelfile(located: &Located) -> Result<String> {
    let (tokenizer, template) = read_text(&located.path)?;
    let question = Message::new(Role::User, "?");
    let rendered = template.render(std::slice::from_ref(&question), true)?;
    let mut text = String::from("# ollama create NAME -f Modelfile\nFROM ./model.gguf\n");
    let turn = "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n";
    if let Some(before) = rendered.strip_suffix(turn) {
        let system = before
            .strip_prefix("<|im_start|>system\n")
            .and_then(|rest| rest.strip_suffix("<|im_end|>\n"));
        if before.is_empty() || system.is_some() {
            let _ = writeln!(text, "TEMPLATE \"\"\"{CHATML}\"\"\"");
        }
        // A prompt with a day in it would say that day for good.
        let system = system.filter(|_| !template.asks_for_the_time());
        if let Some(system) = system.filter(|system| !system.contains("\"\"\"")) {
            let _ = writeln!(text, "SYSTEM \"\"\"{system}\"\"\"");
        }
    }
    for id in &tokenizer.stop {
        if let Some(token) = tokenizer.inner.id_to_token(*id) {
            let _ = writeln!(text, "PARAMETER stop \"{token}\"");
        }
    }
    Ok(text)
}
