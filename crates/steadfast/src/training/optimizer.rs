//! AdamW (Loshchilov & Hutter, arXiv:1711.05101) with named, ordered, saved moments.
