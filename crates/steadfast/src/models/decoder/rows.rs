//! Rows of a packed batch: what they may hold and where each stands in its sequence.

use crate::conversations::packing::Beginning;
use crate::{Error, Result};

/// Positions before the first row of each sequence.
pub(in crate::models) fn offsets(sequences: usize, beginning: Beginning) -> Vec<usize> {
    (0..sequences)
        .map(|index| beginning.before(index))
        .collect()
}

/// Position of each row, for sequences that begin at these offsets.
pub(in crate::models) fn positions(
    context: usize,
    lengths: &[usize],
    offsets: &[usize],
) -> Result<Vec<u32>> {
    let mut positions = Vec::with_capacity(lengths.iter().sum());
    for (&length, &offset) in lengths.iter().zip(offsets) {
        if offset + length > context {
            return Err(Error::user(format!(
                "a sequence of {} tokens is longer than the model's context of {context}",
                offset + length,
            ))
            .hint("shorten the conversation or split it"));
        }
        positions.extend((offset..offset + length).map(|position| position as u32));
    }
    Ok(positions)
}

/// Whether the tokens fill the sequences and are words of the model.
pub(in crate::models) fn check_tokens(
    tokens: &[u32],
    lengths: &[usize],
    vocabulary: usize,
) -> Result<()> {
    if lengths.iter().sum::<usize>() != tokens.len() {
        return Err(Error::bug(format!(
            "{} tokens for sequences of lengths {lengths:?}",
            tokens.len(),
        )));
    }
    match tokens.iter().find(|token| **token as usize >= vocabulary) {
        None => Ok(()),
        Some(token) => Err(Error::user(format!(
            "token {token} is outside the vocabulary of {vocabulary}"
        ))
        .hint("use the tokenizer that came with the model")),
    }
}
