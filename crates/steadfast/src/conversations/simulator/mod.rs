//! A hotel-booking simulator written for this project: training conversations and test items.
