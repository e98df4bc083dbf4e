//! Shared parts of several test binaries. Each of them includes the whole folder.
#![allow(dead_code, reason = "no binary needs all of it")]

pub mod backends;
pub mod fixtures;
pub mod late;
pub mod scratch;
pub mod survey;
