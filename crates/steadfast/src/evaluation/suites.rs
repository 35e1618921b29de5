//! Suite files: the form is decided by the full set of fields.
