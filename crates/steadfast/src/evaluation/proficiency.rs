//! Proficiency: does the booking agent take the right next step?
