//! Knowledge: choices, cloze, short answers and references.
