//! Recipe and flags into typed, validated settings.
