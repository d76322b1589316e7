//! Browsers in a conference, end to end: headless Chromium with a fake microphone, which beeps once a second.
//!
//! `make test-browser` runs these; `make test` does not, so that it needs no browser.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "../support/chromium.rs"]
#[allow(unreachable_pub, reason = "other tests take it as well")]
mod chromium;
mod conference;
mod guests;
mod members;
#[path = "../support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;
mod programs;
mod sealing;
