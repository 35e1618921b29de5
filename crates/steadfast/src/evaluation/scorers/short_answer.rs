//! Short answers, normalised as SQuAD's evaluation does (Rajpurkar et al. 2016): lower case, no
//! punctuation, no articles, single spaces.

/// Words of `text` after normalisation.
pub fn normalised(text: &str) -> Vec<String> {
    text.to_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_alphanumeric() {
                letter
            } else {
                ' '
            }
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
    fn f1_by_hand() {
        assert!((token_f1("big red dog", &["red dog"]) - 0.8).abs() < 1e-12);
        assert_eq!(token_f1("", &["x"]), 0.0);
    }
}
