//! What unit tests share.

use std::time::Instant;

/// An origin for virtual time. No test depends on which.
#[expect(clippy::disallowed_methods, reason = "the one place where the tests' virtual time begins")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}
