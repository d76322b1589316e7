//! alm
pub mod cli;
