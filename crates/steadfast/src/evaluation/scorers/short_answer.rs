//! Short answers, normalised as SQuAD's evaluation does (Rajpurkar et al. 2016): lower case, ASCII
//! punctuation deleted ("U.S." is "us"), no articles, single spaces. Typographic quotes are deleted
//! like the plain ones; typographic dashes and ellipses, which SQuAD leaves alone, part words.

/// Words of `text` after normalisation.
pub fn normalised(text: &str) -> Vec<String> {
    text.to_lowercase()
        .chars()
        .filter(|letter| !letter.is_ascii_punctuation() && !"‘’“”„«»".contains(*letter))
        .map(|letter| match letter {
            '–' | '—' | '…' => ' ',
            other => other,
        })
        .collect::<String>()
        .split_whitespace()
        .filter(|word| !matches!(*word, "a" | "an" | "the"))
        .map(str::to_owned)
        .collect()
}

/// Whether the reply is, or holds as whole words, one of the accepted answers. A chat model answers
/// in a sentence; asking for equality would measure its manners.
pub fn holds_answer(reply: &str, accepted: &[&str]) -> bool {
    let said = normalised(reply);
    accepted.iter().any(|answer| {
        let wanted = normalised(answer);
        !wanted.is_empty() && said.windows(wanted.len()).any(|window| window == wanted)
    })
}

/// F1 of the words shared with the closest accepted answer, 0 to 1.
pub fn token_f1(reply: &str, accepted: &[&str]) -> f64 {
    let said = normalised(reply);
    accepted
        .iter()
        .map(|answer| {
            let wanted = normalised(answer);
            let mut left = said.clone();
            let shared = wanted
                .iter()
                .filter(|word| match left.iter().position(|other| other == *word) {
                    Some(index) => {
                        left.swap_remove(index);
                        true
                    }
                    None => false,
                })
                .count() as f64;
            if shared == 0.0 {
                0.0
            } else {
                2.0 * shared / (said.len() + wanted.len()) as f64
            }
        })
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_as_whole_words() {
        assert!(holds_answer("The capital of France is Paris.", &["paris"]));
        assert!(holds_answer("It was The Beatles!", &["Beatles"]));
        assert!(!holds_answer("Parisian life", &["Paris"]));
        assert!(!holds_answer("anything", &[""]));
    }

    #[test]
    fn punctuation_is_deleted_as_squad_does() {
        assert_eq!(normalised("The U.S."), ["us"]);
        assert_eq!(normalised("O’Neill — 1,000"), ["oneill", "1000"]);
        assert!(holds_answer("It belongs to the US.", &["U.S."]));
        assert!(holds_answer("Well-known: Rock 'n' Roll", &["rock n roll"]));
        assert!(!holds_answer("U.S.A.", &["US"]));
    }

    #[test]
    fn f1_by_hand() {
        assert!((token_f1("big red dog", &["red dog"]) - 0.8).abs() < 1e-12);
        assert_eq!(token_f1("", &["x"]), 0.0);
    }
}
