//! alm
fn main() {}
