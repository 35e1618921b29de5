//! "Did you mean": the known word nearest to a misspelt one.

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let plain = candidate.replace(['-', '_'], "");
            let distance = strsim::damerau_levenshtein(&word, candidate).min(
                strsim::damerau_levenshtein(&word.replace(['-', '_'], ""), &plain),
            );
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint that names the likely word, or lists all of them.
pub fn hint(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let methods = ["lora", "null-space"];
        assert_eq!(nearest("nullspace", methods), Some("null-space"));
        assert_eq!(nearest("LoRA", methods), Some("lora"));
        assert_eq!(nearest("null_spaec", methods), Some("null-space"));
        assert_eq!(nearest("dora-the-explorer", methods), None);
    }
}
