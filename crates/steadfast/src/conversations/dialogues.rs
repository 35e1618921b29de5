//! The public hotel corpora (SGD, STAR, MultiWOZ) as they stand in `shared/data`.
